"""How one optimizer step of the whole batch fits into memory, without another effective batch."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.candidates import candidates, keeps_batch_whole
from ftspec.passes.context import Context, span_of, target_of
from ftspec.passes.least import least_peak
from ftspec.passes.predict import Candidate, predict_peak
from ftspec.passes.set_memory_limit import usable_bytes
from ftspec.passes.units import gib
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan, Rewrite, Value
from ftspec.plan.reasons import Reason

BATCH = "execution.per_device_train_batch_size"


def fit_memory(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles micro-batch, accumulation and checkpointing, for embedding models also the cached loss; the
    effective batch is kept.

    The first candidate that fits is taken, cheapest in time first. FTS403 names what is needed, what
    there is, and changes that were tried and do make it fit.
    """
    limit, target = usable_bytes(plan, context), target_of(plan, context)
    rejected: list[tuple[Candidate, int]] = []
    for candidate in candidates(plan, context):
        needed = predict_peak(plan, candidate, target)
        if needed <= limit:
            yield from _rewrites(plan, candidate, needed, limit, rejected)
            return
        rejected.append((candidate, needed))
    smallest, needed = min(rejected, key=lambda pair: pair[1])
    yield _does_not_fit(plan, context, smallest, needed, limit)


def _rewrites(
    plan: Plan, chosen: Candidate, needed: int, limit: int, rejected: list[tuple[Candidate, int]]
) -> Iterator[Rewrite]:
    batch = plan.train.global_batch_size
    whole, split = not rejected, chosen.gradient_accumulation_steps > 1
    facts: dict[str, Value] = {"needed_bytes": needed, "limit_bytes": limit, "global_batch_size": batch}
    for candidate, too_much in rejected[:1] if len(rejected) < 2 else (rejected[0], rejected[-1]):
        yield Rewrite(
            field=BATCH,
            value=None,
            reason=Reason.BATCH_REJECTED,
            facts=FrozenMap(
                {"rejected": candidate.describe(), "needed_bytes": too_much, "limit_bytes": limit}
            ),
        )
    yield Rewrite(
        field=BATCH,
        value=chosen.per_device_train_batch_size,
        reason=Reason.BATCH_EXCEEDS_MEMORY
        if split
        else Reason.BATCH_FITS_MEMORY
        if whole
        else Reason.NEGATIVES_KEPT
        if chosen.cached_loss
        else Reason.CHECKPOINTING_SAVES_MEMORY,
        facts=FrozenMap(facts),
    )
    yield Rewrite(
        field="execution.gradient_accumulation_steps",
        value=chosen.gradient_accumulation_steps,
        reason=Reason.BATCH_EXCEEDS_MEMORY
        if split
        else Reason.BATCH_FITS_MEMORY
        if whole or not keeps_batch_whole(plan)
        else Reason.NEGATIVES_KEPT,
        facts=FrozenMap(facts),
    )
    if isinstance(plan, EmbeddingPlan):
        yield from _caching(chosen, batch, facts)
    yield Rewrite(
        field="execution.gradient_checkpointing",
        value=chosen.gradient_checkpointing,
        reason=Reason.CHECKPOINTING_SAVES_MEMORY
        if chosen.gradient_checkpointing
        else Reason.CHECKPOINTING_NOT_NEEDED,
        facts=FrozenMap(facts),
    )


def _caching(chosen: Candidate, batch: int, facts: dict[str, Value]) -> Iterator[Rewrite]:
    cache_facts = FrozenMap({**facts, "mini_batch_size": chosen.mini_batch_size})
    yield Rewrite(
        field="execution.cached_loss",
        value=chosen.cached_loss,
        reason=Reason.NEGATIVES_KEPT if chosen.cached_loss else Reason.CACHED_LOSS_NOT_NEEDED,
        facts=cache_facts,
    )
    yield Rewrite(
        field="execution.mini_batch_size",
        value=chosen.mini_batch_size,
        reason=Reason.BATCH_EXCEEDS_MEMORY if chosen.mini_batch_size < batch else Reason.BATCH_FITS_MEMORY,
        facts=FrozenMap(facts),
    )


def _does_not_fit(plan: Plan, context: Context, smallest: Candidate, needed: int, limit: int) -> Diagnostic:
    from ftspec.passes.remedies import remedies

    offers = remedies(plan, context, limit, lambda changed: least_peak(changed, context))
    batch, way, processes = (
        plan.train.global_batch_size,
        smallest.describe(),
        plan.execution.num_processes or 1,
    )
    if processes > 1:
        way += f" on each of {processes} devices"
    cause = "model.base" if isinstance(plan, LlmPlan) else "train.global_batch_size"
    return Diagnostic(
        code=codes.DOES_NOT_FIT,
        detail=f"needs {gib(needed)}, may use {gib(limit)}"
        + ("" if way == f"batch {batch}" else f"; the leanest way that keeps the batch of {batch} is {way}"),
        primary=span_of(context, "execution.memory_limit_bytes") or span_of(context, cause),
        help=("this makes it fit: " if len(offers) == 1 else "any one of these makes it fit: ")
        + "; ".join(offers),
    )
