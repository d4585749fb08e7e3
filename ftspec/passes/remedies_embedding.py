"""Changes of an embedding spec that take less memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ftspec.passes.context import Context, kind_of_device, target_of
from ftspec.passes.units import gib
from ftspec.plan.embedding import EmbeddingPlan, Freeze, Lora
from ftspec.target.features import Feature

_LENGTHS = (4096, 2048, 1024, 512, 384, 256, 192, 128, 96, 64, 48, 32)
_LORA_RANK, _LORA_ALPHA = 16, 32

Least = Callable[[EmbeddingPlan], int]  # bytes that the leanest way to run a plan needs


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


EMBEDDING_ATTEMPTS = (_shorter, _lora, _freeze, _smaller_batch)
