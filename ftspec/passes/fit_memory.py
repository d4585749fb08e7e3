"""How one optimizer step of the whole batch fits into memory, without another effective batch."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, kind_of_device, span_of, target_of
from ftspec.passes.predict import Candidate, predict_memory
from ftspec.passes.remedies import gib, remedies
from ftspec.passes.set_memory_limit import usable_bytes
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Rewrite, Value
from ftspec.plan.objectives import compares_rows, traits_of
from ftspec.plan.reasons import Reason
from ftspec.target.model import Feature

BATCH = "execution.per_device_train_batch_size"


def fit_memory(plan: EmbeddingPlan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles micro-batch, accumulation, cached loss and checkpointing; the effective batch is kept.

    The first candidate that fits is taken, cheapest in time first. FTS403 names what is needed, what
    there is, and changes that were tried and do make it fit.
    """
    limit = usable_bytes(plan, context)
    rejected: list[tuple[Candidate, int]] = []
    for candidate in candidates(plan, context):
        needed = predict_memory(plan, candidate).peak_bytes
        if needed <= limit:
            yield from _rewrites(plan, candidate, needed, limit, rejected)
            return
        rejected.append((candidate, needed))
    smallest, needed = min(rejected, key=lambda pair: pair[1])
    yield _does_not_fit(plan, context, smallest, needed, limit)


def candidates(plan: EmbeddingPlan, context: Context) -> Iterator[Candidate]:
    """Ways to take a step, in order of preference. None of them changes the effective batch.

    Where the loss compares the rows of a batch, accumulation would be another objective: the batch
    stays whole, as a cached loss where there is one (twice the forward passes), else with gradient
    checkpointing. Other objectives accumulate over equal parts. Checkpointing comes last.
    """
    batch, objective = plan.train.global_batch_size, plan.train.objective
    target, kind = target_of(plan, context), kind_of_device(plan, context)
    yield Candidate(per_device_train_batch_size=batch, mini_batch_size=batch)
    smaller: list[Candidate] = []
    if compares_rows(objective.type, objective.loss):
        if traits_of(objective.type).can_cache and target.supports(Feature.CACHED_CONTRASTIVE, kind):
            smaller = [
                Candidate(per_device_train_batch_size=batch, cached_loss=True, mini_batch_size=size)
                for size in powers_of_two_below(batch)
            ]
    elif target.supports(Feature.GRADIENT_ACCUMULATION, kind):
        smaller = [
            Candidate(
                per_device_train_batch_size=size,
                gradient_accumulation_steps=batch // size,
                mini_batch_size=size,
            )
            for size in divisors_below(batch)
        ]
    yield from smaller
    if not target.supports(Feature.GRADIENT_CHECKPOINTING, kind):
        return
    for candidate in (Candidate(per_device_train_batch_size=batch, mini_batch_size=batch), *smaller):
        yield Candidate(
            per_device_train_batch_size=candidate.per_device_train_batch_size,
            gradient_accumulation_steps=candidate.gradient_accumulation_steps,
            cached_loss=candidate.cached_loss,
            mini_batch_size=candidate.mini_batch_size,
            gradient_checkpointing=True,
        )


def powers_of_two_below(batch: int) -> list[int]:
    """Largest first: 32 → 16, 8, 4, 2, 1. The last mini-batch of a cached loss may be smaller."""
    return [1 << power for power in range(batch.bit_length() - 1, -1, -1) if 1 << power < batch]


def divisors_below(batch: int) -> list[int]:
    """Largest first: 48 → 24, 16, 12, 8, 6, 4, 3, 2, 1. Parts are equal, so that the mean is exact."""
    return [size for size in range(batch // 2, 0, -1) if batch % size == 0]


def _rewrites(
    plan: EmbeddingPlan, chosen: Candidate, needed: int, limit: int, rejected: list[tuple[Candidate, int]]
) -> Iterator[Rewrite]:
    batch, objective = plan.train.global_batch_size, plan.train.objective
    whole = not rejected
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
    split = chosen.per_device_train_batch_size < batch
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
        if whole or not compares_rows(objective.type, objective.loss)
        else Reason.NEGATIVES_KEPT,
        facts=FrozenMap(facts),
    )
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
    yield Rewrite(
        field="execution.gradient_checkpointing",
        value=chosen.gradient_checkpointing,
        reason=Reason.CHECKPOINTING_SAVES_MEMORY
        if chosen.gradient_checkpointing
        else Reason.CHECKPOINTING_NOT_NEEDED,
        facts=FrozenMap(facts),
    )


def _does_not_fit(
    plan: EmbeddingPlan, context: Context, smallest: Candidate, needed: int, limit: int
) -> Diagnostic:
    def least(changed: EmbeddingPlan) -> int:
        return min(predict_memory(changed, way).peak_bytes for way in candidates(changed, context))

    offers = remedies(plan, context, limit, least)
    batch, way = plan.train.global_batch_size, smallest.describe()
    return Diagnostic(
        code=codes.DOES_NOT_FIT,
        detail=f"needs {gib(needed)}, may use {gib(limit)}"
        + ("" if way == f"batch {batch}" else f"; the leanest way that keeps the batch of {batch} is {way}"),
        primary=span_of(context, "execution.memory_limit_bytes")
        or span_of(context, "train.global_batch_size"),
        help=("this makes it fit: " if len(offers) == 1 else "any one of these makes it fit: ")
        + "; ".join(offers),
    )
