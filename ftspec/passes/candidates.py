"""Ways to take an optimizer step, in order of preference; none of them changes the effective batch."""

from collections.abc import Iterator
from dataclasses import replace

from ftspec.passes.context import Context, kind_of_device, target_of
from ftspec.passes.predict import Candidate, whole_batch
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.plan.objectives import compares_rows, traits_of
from ftspec.target.features import Feature


def candidates(plan: Plan, context: Context) -> Iterator[Candidate]:
    """The whole batch first, then smaller parts of it, then the same with gradient checkpointing, which
    computes activations twice."""
    whole = whole_batch(plan)
    ways = [whole, *_smaller(plan, context, whole.per_device_train_batch_size)]
    yield from ways
    if target_of(plan, context).supports(Feature.GRADIENT_CHECKPOINTING, kind_of_device(plan, context)):
        yield from (replace(way, gradient_checkpointing=True) for way in ways)


def keeps_batch_whole(plan: Plan) -> bool:
    """Does the loss compare the rows of a batch, so that accumulation would be another objective?"""
    if isinstance(plan, EmbeddingPlan):
        return compares_rows(plan.train.objective.type, plan.train.objective.loss)
    assert isinstance(plan, LlmPlan), plan.kind
    return False  # a mean over all tokens of the batch is a sum of sums


def _smaller(plan: Plan, context: Context, batch: int) -> list[Candidate]:
    """Where the loss compares the rows of a batch, the batch stays whole, as a cached loss where there is one
    (twice the forward passes). Others accumulate over equal parts."""
    target, kind = target_of(plan, context), kind_of_device(plan, context)
    if not keeps_batch_whole(plan):
        if not target.supports(Feature.GRADIENT_ACCUMULATION, kind):
            return []
        return [
            Candidate(
                per_device_train_batch_size=size,
                gradient_accumulation_steps=batch // size,
                mini_batch_size=size,
            )
            for size in divisors_below(batch)
        ]
    assert isinstance(plan, EmbeddingPlan)
    can_cache = traits_of(plan.train.objective.type).can_cache
    if not can_cache or not target.supports(Feature.CACHED_CONTRASTIVE, kind):
        return []
    return [
        Candidate(per_device_train_batch_size=batch, cached_loss=True, mini_batch_size=size)
        for size in powers_of_two_below(batch)
    ]


def powers_of_two_below(batch: int) -> list[int]:
    """Largest first: 32 → 16, 8, 4, 2, 1. The last mini-batch of a cached loss may be smaller."""
    return [1 << power for power in range(batch.bit_length() - 1, -1, -1) if 1 << power < batch]


def divisors_below(batch: int) -> list[int]:
    """Largest first: 48 → 24, 16, 12, 8, 6, 4, 3, 2, 1. Parts are equal, so that the mean is exact."""
    return [size for size in range(batch // 2, 0, -1) if batch % size == 0]
