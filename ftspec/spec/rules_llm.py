"""Rules between keys of kind LLM."""

from ftspec.diagnostics.codes import CONFLICTING_KEYS, KEY_NEEDS_ANOTHER, MISSING_KEY
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.plan.metrics import metric_traits, needs_generation
from ftspec.source.document import Document
from ftspec.spec.faults import Path, given, not_read
from ftspec.spec.llm_data import LlmSource, RaftSource
from ftspec.spec.parts import LlmParts

_OF_ADAPTERS = ("r", "alpha", "dropout", "target_modules", "layers")


def adapter(parts: LlmParts, document: Document, found: Diagnostics) -> None:
    if parts.adapter is None:
        return
    chosen = parts.adapter.type
    if chosen == "full":
        for name in _OF_ADAPTERS:
            if given(document, ("adapter", name)):
                not_read(
                    found, document, ("adapter", name), "`type: full` trains all weights, without adapters"
                )
    if chosen == "qlora" or parts.model is None or parts.model.quantization is None:
        return
    type_span = document.span(("adapter", "type")) or document.span(("adapter",), key=True)
    related = () if type_span is None else (Related(span=type_span, message=f"`{chosen}` is trained"),)
    found.add(
        CONFLICTING_KEYS,
        "a quantised base cannot be trained as a whole"
        if chosen == "full"
        else f"`{chosen}` trains on the base as it is; on a quantised one it is `qlora`",
        primary=document.span(("model", "quantization"), key=True),
        related=related,
        help="remove `model.quantization`, or write `adapter.type: qlora`",
    )


def validation(parts: LlmParts, document: Document, found: Diagnostics) -> None:
    if parts.train is None or parts.data is None or parts.data.split.validation > 0:
        return
    if parts.train.eval_steps is not None:
        found.add(
            KEY_NEEDS_ANOTHER,
            "`eval_steps` watches the loss of a validation split, and there is none",
            primary=document.span(("train", "eval_steps"), key=True),
            help="add `data.split.validation: 0.1`",
        )


def raft(parts: LlmParts, document: Document, found: Diagnostics) -> None:
    for path, source in _sources(parts):
        if not isinstance(source, RaftSource):
            continue
        if source.questions is None and source.synthesize is None:
            found.add(
                MISSING_KEY,
                "a RAFT source needs `questions`, or `synthesize` to write them",
                primary=document.span(path),
                help="add `questions: {path: …}`",
            )
        elif source.answers == "written" and source.synthesize is None:
            found.add(
                KEY_NEEDS_ANOTHER,
                "answers are written by a model, and none is named",
                primary=document.span((*path, "answers")),
                help="add `synthesize: {model: …}`, or write `answers: extractive`",
            )
        elif source.questions is not None and source.synthesize is not None and source.answers != "written":
            not_read(
                found,
                document,
                (*path, "synthesize"),
                "`questions` are given and answers are extracted: nothing is left to write",
            )


def answers(parts: LlmParts, document: Document, found: Diagnostics) -> None:
    """Metrics that read answers need a model that writes, and citations need documents."""
    if parts.evaluation is None:
        return
    metrics = parts.evaluation.metrics
    if parts.evaluation.generate_rows == 0 and needs_generation(metrics):
        named = next(name for name in metrics if needs_generation([name]))
        found.add(
            KEY_NEEDS_ANOTHER,
            f"`{named}` reads what the models write, and `generate_rows` is 0",
            primary=document.span(("evaluation", "generate_rows")),
            help="write `generate_rows: 100`, or remove the metric",
        )
    if parts.data is None:
        return
    held_out = parts.data.evaluation or parts.data.train
    has_raft = any(isinstance(each, RaftSource) for each in held_out)
    for index, name in enumerate(metrics):
        traits = metric_traits(name)
        if traits is None:
            continue
        if traits.needs_raft and not has_raft:
            found.add(
                KEY_NEEDS_ANOTHER,
                f"`{name}` is measured on rows of a RAFT source, and the held-out sources have none",
                primary=document.span(("evaluation", "metrics", index)),
                help="remove the metric",
            )


def export(parts: LlmParts, document: Document, found: Diagnostics) -> None:
    if parts.adapter is None or parts.export is None or parts.adapter.type != "full":
        return
    if given(document, ("export", "merge")):
        not_read(found, document, ("export", "merge"), "`adapter.type: full` has nothing to merge")


def _sources(parts: LlmParts) -> list[tuple[Path, LlmSource]]:
    if parts.data is None:
        return []
    return [
        *((("data", "train", index), source) for index, source in enumerate(parts.data.train)),
        *((("data", "evaluation", index), source) for index, source in enumerate(parts.data.evaluation)),
    ]
