"""Which features a plan asks of its backend, and which of its fields asks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import OriginKind, Plan
from ftspec.target.features import Feature

_ADAPTERS = {
    "lora": Feature.LORA,
    "dora": Feature.DORA,
    "qlora": Feature.QLORA,
    "full": Feature.FULL_FINE_TUNING,
}
_FIELD_OF_BITS = "model.quantization_bits"
_BITS = {4: Feature.QUANTIZATION_4BIT, 8: Feature.QUANTIZATION_8BIT}

Asked = tuple[bool, Feature, str]  # holds, feature, leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    feature: Feature
    field: str  # the leaf that asks for it


def intended_features(plan: Plan) -> Iterator[Need]:
    """What the spec asks for, whatever the machine."""
    yield from _needs((*_of_kind(plan), *_of_any(plan)))


def _of_kind(plan: Plan) -> Iterable[Asked]:
    if isinstance(plan, EmbeddingPlan):
        return _of_embedding(plan)
    assert isinstance(plan, LlmPlan), plan.kind
    return _of_llm(plan)


def _of_any(plan: Plan) -> Iterable[Asked]:
    return (
        (plan.model.trust_remote_code, Feature.REMOTE_CODE, "model.trust_remote_code"),
        (plan.train.checks.rising_loss != "off", Feature.RUN_CHECKS, "train.checks.rising_loss"),
    )


def _of_embedding(plan: EmbeddingPlan) -> Iterable[Asked]:
    model, train = plan.model, plan.train
    objective = train.objective
    return (
        (True, Feature(objective.type), "train.objective.type"),
        (
            objective.type == "contrastive" and bool(objective.num_negatives),
            Feature.EXPLICIT_NEGATIVES,
            "train.objective.num_negatives",
        ),
        (bool(objective.symmetric), Feature.SYMMETRIC, "train.objective.symmetric"),
        (bool(objective.mask_positives), Feature.MASK_POSITIVES, "train.objective.mask_positives"),
        (train.matryoshka is not None, Feature.MATRYOSHKA, "train.matryoshka.dimensions"),
        (model.freeze.embeddings, Feature.FREEZE, "model.freeze.embeddings"),
        (model.freeze.layers > 0, Feature.FREEZE, "model.freeze.layers"),
        (model.lora is not None, Feature.LORA, "model.lora.r"),
        (model.pooling != model.facts.pooling, Feature.POOLING, "model.pooling"),
        (bool(model.prompts.query), Feature.PROMPTS, "model.prompts.query"),
        (bool(model.prompts.document), Feature.PROMPTS, "model.prompts.document"),
        (train.early_stopping is not None, Feature.EARLY_STOPPING, "train.early_stopping.metric"),
        (train.keep_best, Feature.KEEP_BEST, "train.keep_best"),
        (train.checks.collapse != "off", Feature.RUN_CHECKS, "train.checks.collapse"),
    )


def _of_llm(plan: LlmPlan) -> Iterable[Asked]:
    adapter, bits = plan.adapter, plan.model.quantization_bits
    bits_given = plan.origins[_FIELD_OF_BITS].kind is OriginKind.GIVEN  # else they follow from `qlora`
    trains_adapter = adapter.type != "full"
    return (
        (True, _ADAPTERS[adapter.type], "adapter.type"),
        (bits is not None, _BITS[bits or 4], _FIELD_OF_BITS if bits_given else "adapter.type"),
        (adapter.layers is not None, Feature.LAST_LAYERS, "adapter.layers"),
        (plan.train.packing, Feature.PACKING, "train.packing"),
        (plan.train.checks.divergence != "off", Feature.RUN_CHECKS, "train.checks.divergence"),
        (plan.evaluation.generate_rows > 0, Feature.GENERATION, "evaluation.generate_rows"),
        (trains_adapter and plan.export.merge, Feature.MERGE, "export.merge"),
    )


def machine_features(plan: Plan) -> Iterator[Need]:
    """What the decided execution asks for; `pick_processes` has judged the number of processes."""
    run = plan.execution
    cached = isinstance(plan, EmbeddingPlan) and bool(plan.execution.cached_loss)
    yield from _needs(
        (
            (run.precision == "bf16", Feature.BF16, "execution.precision"),
            (run.precision == "fp16", Feature.FP16, "execution.precision"),
            (
                (run.gradient_accumulation_steps or 1) > 1,
                Feature.GRADIENT_ACCUMULATION,
                "execution.gradient_accumulation_steps",
            ),
            (
                bool(run.gradient_checkpointing),
                Feature.GRADIENT_CHECKPOINTING,
                "execution.gradient_checkpointing",
            ),
            (cached, Feature.CACHED_CONTRASTIVE, "execution.cached_loss"),
            (
                run.attn_implementation == "flash_attention_2",
                Feature.FLASH_ATTENTION,
                "execution.attn_implementation",
            ),
        )
    )


def _needs(asked: Iterable[Asked]) -> Iterator[Need]:
    yield from (Need(feature=feature, field=field) for holds, feature, field in asked if holds)
