"""Rules between keys of kind Embedding."""

from ftspec.diagnostics.codes import KEY_NEEDS_ANOTHER
from ftspec.diagnostics.model import Diagnostics
from ftspec.source.document import Document
from ftspec.spec.faults import Path, bad_value, given, not_read
from ftspec.spec.parts import EmbeddingParts
from ftspec.spec.train import LabelledClasses


def validation_split(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.train is None or parts.data is None or parts.data.split.validation > 0:
        return
    wants: list[Path] = []
    if parts.train.early_stopping is not None:
        wants.append(("train", "early_stopping"))
    if parts.train.keep_best:
        wants.append(("train", "keep_best"))
    if parts.train.eval_steps is not None:
        wants.append(("train", "eval_steps"))
    for path in wants:
        found.add(
            KEY_NEEDS_ANOTHER,
            f"`{path[-1]}` judges on a validation split, and there is none",
            primary=document.span(path, key=True),
            help="add `data.split.validation: 0.1`",
        )


def matryoshka(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.train is None or parts.train.matryoshka is None:
        return
    wanted = parts.train.matryoshka
    above = ("train", "matryoshka")
    for index, dimension in enumerate(wanted.dimensions):
        if dimension in wanted.dimensions[:index]:
            bad_value(
                found, document, (*above, "dimensions", index), f"{dimension} stands in the list already"
            )
    if wanted.weights is not None and len(wanted.weights) != len(wanted.dimensions):
        bad_value(
            found,
            document,
            (*above, "weights"),
            f"{len(wanted.weights)} weights for {len(wanted.dimensions)} dimensions",
            "give one weight for each dimension",
        )


def objective_options(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.train is None:
        return
    objective = parts.train.objective
    path = ("train", "objective", "margin")
    if (
        isinstance(objective, LabelledClasses)
        and objective.loss == "batch_hard_soft_margin"
        and given(document, path)
    ):
        not_read(
            found,
            document,
            path,
            "`batch_hard_soft_margin` has a soft margin, which no number sets",
            "remove it, or write `loss: batch_hard`",
        )


def shares(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.data is None:
        return
    filters = parts.data.filters
    for kind in ("query", "document"):
        least, most = getattr(filters, f"min_{kind}_chars"), getattr(filters, f"max_{kind}_chars")
        if most is not None and most < least:
            bad_value(
                found,
                document,
                ("data", "filters", f"max_{kind}_chars"),
                f"at most {most} and at least {least} characters: no row passes",
            )


def export(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.model is None or parts.export is None:
        return
    if not parts.export.merge_lora and parts.model.lora is None:
        not_read(
            found, document, ("export", "merge_lora"), "there are no adapters: `model.lora` is left away"
        )
