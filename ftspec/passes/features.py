"""Which features a plan asks of its backend, and which of its fields asks."""

from collections.abc import Iterator
from dataclasses import dataclass

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Plan
from ftspec.target.model import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    feature: Feature
    field: str  # the leaf that asks for it


def intended_features(plan: Plan) -> Iterator[Need]:
    """What the spec asks for, whatever the machine."""
    assert isinstance(plan, EmbeddingPlan), plan.kind
    model, train = plan.model, plan.train
    objective = train.objective
    yield Need(feature=Feature(objective.type), field="train.objective.type")
    asked = (
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
        (model.trust_remote_code, Feature.REMOTE_CODE, "model.trust_remote_code"),
        (train.early_stopping is not None, Feature.EARLY_STOPPING, "train.early_stopping.metric"),
        (train.keep_best, Feature.KEEP_BEST, "train.keep_best"),
        (train.checks.rising_loss != "off", Feature.RUN_CHECKS, "train.checks.rising_loss"),
        (train.checks.collapse != "off", Feature.RUN_CHECKS, "train.checks.collapse"),
    )
    yield from (Need(feature=feature, field=field) for holds, feature, field in asked if holds)


def machine_features(plan: Plan) -> Iterator[Need]:
    """What the decided execution asks for; `pick_processes` has judged the number of processes."""
    assert isinstance(plan, EmbeddingPlan), plan.kind
    run = plan.execution
    asked = (
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
        (bool(run.cached_loss), Feature.CACHED_CONTRASTIVE, "execution.cached_loss"),
        (
            run.attn_implementation == "flash_attention_2",
            Feature.FLASH_ATTENTION,
            "execution.attn_implementation",
        ),
    )
    yield from (Need(feature=feature, field=field) for holds, feature, field in asked if holds)
