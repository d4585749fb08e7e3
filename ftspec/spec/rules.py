"""Rules between keys. Each reads the sections that could be read, and says nothing without them."""

from collections.abc import Callable

from ftspec.diagnostics.codes import BAD_VALUE, CONFLICTING_KEYS, KEY_NEEDS_ANOTHER, KEY_NOT_READ, Code
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.source.document import Document
from ftspec.spec import rules_evaluation, rules_roles
from ftspec.spec.parts import Parts
from ftspec.spec.train import LabelledClasses

Path = tuple[str | int, ...]
Rule = Callable[[Parts, Document, Diagnostics], None]


def check(parts: Parts, document: Document, found: Diagnostics) -> None:
    for rule in RULES:
        rule(parts, document, found)


def given(document: Document, path: Path) -> bool:
    """Did the user write a value here? `null` stands for the default."""
    if not document.has(path):
        return False
    value: object = document.tree
    for step in path:
        value = value[step]  # type: ignore[index]
    return value is not None


def exclusive_keys(_: Parts, document: Document, found: Diagnostics) -> None:
    """Reads the tree, so that it speaks even where a section has other faults."""
    for above, first, second in (
        (("model", "freeze"), "layers", "fraction"),
        (("train",), "warmup_ratio", "warmup_steps"),
        (("train",), "num_train_epochs", "max_steps"),
        (("model",), "lora", "freeze"),
    ):
        paths = sorted(((*above, first), (*above, second)), key=lambda path: _order(document, path))
        if not all(given(document, path) for path in paths):
            continue
        earlier, later = paths
        span = document.span(earlier, key=True)
        assert span is not None
        detail = f"`{later[-1]}` decides the same as `{earlier[-1]}`"
        if first == "lora":
            detail = "LoRA trains adapters only: all weights of the base model are frozen already"
        found.add(
            CONFLICTING_KEYS,
            detail,
            primary=document.span(later, key=True),
            related=(Related(span=span, message=f"`{earlier[-1]}` stands here"),),
            help="keep one of the two",
        )


def _order(document: Document, path: Path) -> tuple[int, int, int]:
    span = document.span(path, key=True)
    assert span is not None
    return (int(span.path == "--set"), span.line, span.column)


def validation_split(parts: Parts, document: Document, found: Diagnostics) -> None:
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


def schedule(parts: Parts, document: Document, found: Diagnostics) -> None:
    train = parts.train
    if train is None:
        return
    if train.lr_num_cycles is not None and train.lr_scheduler_type != "cosine_with_restarts":
        _not_read(
            found,
            document,
            ("train", "lr_num_cycles"),
            f"the scheduler `{train.lr_scheduler_type}` has no restarts",
            "write `lr_scheduler_type: cosine_with_restarts`",
        )
    for name in ("warmup_ratio", "warmup_steps"):
        if train.lr_scheduler_type == "constant" and getattr(train, name):
            _not_read(
                found,
                document,
                ("train", name),
                "the scheduler `constant` has no warmup",
                "write `lr_scheduler_type: constant_with_warmup`",
            )
    if (
        train.max_steps is not None
        and train.warmup_steps is not None
        and train.warmup_steps >= train.max_steps
    ):
        _value(
            found,
            document,
            ("train", "warmup_steps"),
            f"{train.warmup_steps} steps of warmup in a run of {train.max_steps}: the peak is never reached",
            "warm up for fewer steps than `max_steps`",
        )


def matryoshka(parts: Parts, document: Document, found: Diagnostics) -> None:
    if parts.train is None or parts.train.matryoshka is None:
        return
    wanted = parts.train.matryoshka
    above = ("train", "matryoshka")
    for index, dimension in enumerate(wanted.dimensions):
        if dimension in wanted.dimensions[:index]:
            _value(found, document, (*above, "dimensions", index), f"{dimension} stands in the list already")
    if wanted.weights is not None and len(wanted.weights) != len(wanted.dimensions):
        _value(
            found,
            document,
            (*above, "weights"),
            f"{len(wanted.weights)} weights for {len(wanted.dimensions)} dimensions",
            "give one weight for each dimension",
        )


def objective_options(parts: Parts, document: Document, found: Diagnostics) -> None:
    if parts.train is None:
        return
    objective = parts.train.objective
    path = ("train", "objective", "margin")
    if (
        isinstance(objective, LabelledClasses)
        and objective.loss == "batch_hard_soft_margin"
        and given(document, path)
    ):
        _not_read(
            found,
            document,
            path,
            "`batch_hard_soft_margin` has a soft margin, which no number sets",
            "remove it, or write `loss: batch_hard`",
        )


def held_out(parts: Parts, document: Document, found: Diagnostics) -> None:
    """Shares of a split that does not happen."""
    if parts.data is None or not parts.data.evaluation:
        return
    evaluation = document.span(("data", "evaluation"), key=True)
    assert evaluation is not None
    names = ["test"] if parts.data.split.validation > 0 else ["test", "by"]
    for name in names:
        path = ("data", "split", name)
        if given(document, path) and not (name == "by" and parts.data.split.by == "auto"):
            found.add(
                KEY_NOT_READ,
                "nothing is split off for the evidence, because `data.evaluation` is given",
                primary=document.span(path, key=True),
                related=(Related(span=evaluation, message="held-out queries come from here"),),
                help="remove one of the two",
            )


def shares(parts: Parts, document: Document, found: Diagnostics) -> None:
    if parts.data is None:
        return
    filters = parts.data.filters
    for kind in ("query", "document"):
        least, most = getattr(filters, f"min_{kind}_chars"), getattr(filters, f"max_{kind}_chars")
        if most is not None and most < least:
            _value(
                found,
                document,
                ("data", "filters", f"max_{kind}_chars"),
                f"at most {most} and at least {least} characters: no row passes",
            )


def export(parts: Parts, document: Document, found: Diagnostics) -> None:
    if parts.model is None or parts.export is None:
        return
    if not parts.export.merge_lora and parts.model.lora is None:
        _not_read(
            found, document, ("export", "merge_lora"), "there are no adapters: `model.lora` is left away"
        )


def _not_read(
    found: Diagnostics, document: Document, path: Path, detail: str, help: str = "remove the key"
) -> None:
    _add(found, document, KEY_NOT_READ, path, detail=detail, help=help, key=True)


def _value(found: Diagnostics, document: Document, path: Path, detail: str, help: str = "") -> None:
    _add(found, document, BAD_VALUE, path, detail=detail, help=help, key=False)


def _add(
    found: Diagnostics, document: Document, code: Code, path: Path, *, detail: str, help: str, key: bool
) -> None:
    found.add(code, detail, primary=document.span(path, key=key), help=help)


RULES: tuple[Rule, ...] = (
    exclusive_keys,
    validation_split,
    schedule,
    matryoshka,
    objective_options,
    held_out,
    shares,
    export,
    rules_roles.roles,
    rules_evaluation.metrics,
    rules_evaluation.early_stopping,
    rules_evaluation.gates,
)
