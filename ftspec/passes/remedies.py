"""Changes of a spec that make a run fit, found by trying them on the plan."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from ftspec.passes.context import Context, kind_of_device, target_of
from ftspec.plan.embedding import EmbeddingPlan, Freeze, Lora
from ftspec.plan.model import OriginKind
from ftspec.target.model import Feature

MOST_OFFERED = 3
_LENGTHS = (4096, 2048, 1024, 512, 384, 256, 192, 128, 96, 64, 48, 32)
_LORA_RANK, _LORA_ALPHA = 16, 32
_GIB = 2**30

Least = Callable[[EmbeddingPlan], int]  # bytes that the leanest way to run a plan needs


def gib(count: int) -> str:
    """`3.42 GiB`; small numbers in MiB."""
    return f"{count / _GIB:.2f} GiB" if count >= _GIB else f"{count / 2**20:.0f} MiB"


def remedies(plan: EmbeddingPlan, context: Context, limit: int, least: Least) -> list[str]:
    """At most three changes, each of which fits into `limit` bytes on its own; cheapest first.

    Cheapest: what changes the resulting model least and costs no new machine. The last one always
    fits: as much memory as is needed.
    """
    offers: list[str] = []
    for attempt in (_shorter, _lora, _freeze, _smaller_batch):
        offers.extend(attempt(plan, context, limit, least))
    return (
        [*offers[: MOST_OFFERED - 1], _more_memory(plan, limit, least(plan))]
        if len(offers) < MOST_OFFERED
        else (offers[:MOST_OFFERED])
    )


def _shorter(plan: EmbeddingPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    del context
    for length in _LENGTHS:
        if length < plan.model.max_seq_length:
            needed = least(replace(plan, model=replace(plan.model, max_seq_length=length)))
            if needed <= limit:
                yield f"`model.max_seq_length: {length}` ({gib(needed)})"
                return


def _lora(plan: EmbeddingPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    facts = plan.model.facts
    if plan.model.lora is not None or not facts.linear_widths:
        return
    if not target_of(plan, context).supports(Feature.LORA, kind_of_device(plan, context)):
        return
    lora = Lora(r=_LORA_RANK, alpha=_LORA_ALPHA, dropout=0.0, target_modules=facts.linear_modules)
    trainable = _LORA_RANK * sum(facts.linear_widths.values())
    needed = least(
        replace(plan, model=replace(plan.model, lora=lora, freeze=Freeze(), trainable_parameters=trainable))
    )
    if needed <= limit:
        yield f"`model.lora: {{r: {_LORA_RANK}}}` ({gib(needed)})"


def _freeze(plan: EmbeddingPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """The fewest frozen layers that fit; the embeddings are frozen with them."""
    facts = plan.model.facts
    if plan.model.lora is not None:
        return
    if not target_of(plan, context).supports(Feature.FREEZE, kind_of_device(plan, context)):
        return
    for layers in range(max(plan.model.freeze.layers, 1), facts.num_layers):
        trainable = facts.total_parameters - facts.embedding_parameters - layers * facts.layer_parameters
        frozen = Freeze(embeddings=True, layers=layers)
        needed = least(
            replace(plan, model=replace(plan.model, freeze=frozen, trainable_parameters=max(trainable, 0)))
        )
        if needed <= limit:
            yield f"`model.freeze: {{embeddings: true, layers: {layers}}}` ({gib(needed)})"
            return


def _smaller_batch(plan: EmbeddingPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    del context
    batch = plan.train.global_batch_size
    for power in range(batch.bit_length() - 1, 0, -1):
        size = 1 << power
        if size < batch:
            needed = least(replace(plan, train=replace(plan.train, global_batch_size=size)))
            if needed <= limit:
                yield f"`train.global_batch_size: {size}` ({gib(needed)})"
                return


def _more_memory(plan: EmbeddingPlan, limit: int, needed: int) -> str:
    wish = plan.origins.get("execution.memory_limit_bytes")
    if wish is not None and wish.kind is OriginKind.GIVEN:
        return f"`resources.limits.memory: {math.ceil(needed / 2**20)}MiB`, if the machine has it"
    missing = math.ceil((needed - limit) / _GIB * 10) / 10
    return f"{missing:.1f} GiB more memory ({gib(needed)})"
