"""Rules between keys. Each reads the sections that could be read, and says nothing without them."""

from collections.abc import Callable
from typing import Any

from ftspec.diagnostics.codes import CONFLICTING_KEYS, KEY_NOT_READ
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.source.document import Document
from ftspec.spec import rules_embedding, rules_evaluation, rules_llm, rules_roles
from ftspec.spec.faults import Path, bad_value, given, not_read
from ftspec.spec.parts import LlmParts, Parts

Rule = Callable[[Any, Document, Diagnostics], None]  # reads the parts of its kind, or of any


def check(parts: Parts, document: Document, found: Diagnostics) -> None:
    for rule in (*SHARED, *(LLM if isinstance(parts, LlmParts) else EMBEDDING)):
        rule(parts, document, found)


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


def schedule(parts: Parts, document: Document, found: Diagnostics) -> None:
    train = parts.train
    if train is None:
        return
    if train.lr_num_cycles is not None and train.lr_scheduler_type != "cosine_with_restarts":
        not_read(
            found,
            document,
            ("train", "lr_num_cycles"),
            f"the scheduler `{train.lr_scheduler_type}` has no restarts",
            "write `lr_scheduler_type: cosine_with_restarts`",
        )
    for name in ("warmup_ratio", "warmup_steps"):
        if train.lr_scheduler_type == "constant" and getattr(train, name):
            not_read(
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
        bad_value(
            found,
            document,
            ("train", "warmup_steps"),
            f"{train.warmup_steps} steps of warmup in a run of {train.max_steps}: the peak is never reached",
            "warm up for fewer steps than `max_steps`",
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


SHARED: tuple[Rule, ...] = (
    exclusive_keys,
    schedule,
    held_out,
    rules_evaluation.metrics,
    rules_evaluation.gates,
)
EMBEDDING: tuple[Rule, ...] = (
    rules_embedding.validation_split,
    rules_embedding.matryoshka,
    rules_embedding.objective_options,
    rules_embedding.shares,
    rules_embedding.export,
    rules_roles.roles,
    rules_evaluation.early_stopping,
    rules_evaluation.latency,
)
LLM: tuple[Rule, ...] = (
    rules_llm.adapter,
    rules_llm.validation,
    rules_llm.raft,
    rules_llm.answers,
    rules_llm.export,
)
