"""Whether the exception of a rule holds for two plans."""

from collections.abc import Sequence

from ftspec.plan.changes import Condition
from ftspec.plan.continuation import STORE, Form, continuation
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan

Path = Sequence[str | int]


def holds(condition: Condition, path: Path, old: Plan, new: Plan, *, old_path: Path | None = None) -> bool:
    """`path`: of the change, in the tree of the new spec; `old_path`: in that of the old one, where a source
    may have another place in its list."""
    match condition:
        case Condition.SAME_MODEL:
            return old.model.facts.digest == new.model.facts.digest
        case Condition.SAME_DATA:
            return _digest(path if old_path is None else old_path, old) == _digest(path, new)
        case Condition.OF_THIS_PROJECT:
            return new.model.facts.origin == STORE and _same_form(old, new)
        case Condition.PREFIX:
            return continuation(old, new).form is Form.EXTEND
        case Condition.PREFIXES_KEPT:
            return _prefixes(old) <= _prefixes(new)
        case Condition.PICKS_CHECKPOINT:
            return old.evaluation.primary != new.evaluation.primary and (_picks(old) or _picks(new))
        case Condition.VALIDATED:
            return any(plan.data.split.validation > 0 for plan in (old, new))
        case Condition.DROPS_TRAIN:
            return any(plan.data.split.leakage == "drop_train" for plan in (old, new))
        case Condition.SCORED_HERE:
            return _scored_by(old) != _scored_by(new)


def _digest(path: Path, plan: Plan) -> str | None:
    """Of the source that the path lies in, at its place in the list."""
    side, index = path[1], path[2]
    assert isinstance(index, int), path
    start = 0 if side == "train" else len(plan.data.train)
    sources = plan.data.facts.sources
    return sources[start + index].digest if start + index < len(sources) else None


def _same_form(old: Plan, new: Plan) -> bool:
    one, other = old.model.facts, new.model.facts
    if isinstance(old, EmbeddingPlan) and isinstance(new, EmbeddingPlan):
        return (one.embedding_dimension, one.normalizes, old.model.pooling, one.model_type) == (
            other.embedding_dimension, other.normalizes, new.model.pooling, other.model_type,
        )  # fmt: skip
    return (one.model_type, one.hidden_size, one.num_layers) == (
        other.model_type, other.hidden_size, other.num_layers,
    )  # fmt: skip


def _prefixes(plan: Plan) -> frozenset[int]:
    matryoshka = plan.train.matryoshka if isinstance(plan, EmbeddingPlan) else None
    return frozenset() if matryoshka is None else frozenset(matryoshka.dimensions)


def _picks(plan: Plan) -> bool:
    """Does the primary metric choose the checkpoint that is kept?"""
    return isinstance(plan, EmbeddingPlan) and plan.train.keep_best and plan.train.early_stopping is None


def _scored_by(plan: Plan) -> tuple[object, ...]:
    """What scores belong to: latency to a machine, losses of a language model to a backend."""
    run = plan.execution
    if isinstance(plan, LlmPlan):
        return (run.backend, run.precision)
    if plan.evaluation.latency_queries == 0:  # type: ignore[attr-defined]
        return ()
    return (plan.machine.digest, run.device, run.num_threads)
