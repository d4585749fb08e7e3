"""Complete embedding plans, as the last pass leaves them, made without any data or model."""

from dataclasses import replace
from typing import Any

from ftspec.plan.embedding import (
    EarlyStopping,
    EmbeddingExecutionPlan,
    EmbeddingPlan,
    Freeze,
    Lora,
    Matryoshka,
    Objective,
    Prompts,
)
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Estimates, MemoryEstimate, Origin, OriginKind
from ftspec.plan.stages import nothing_stored, with_stages
from tests.example_evidence import example_plan

NASTY = 'it\'s "quoted" `tick` $(touch pwned) ${HOME} {{ 7 * 7 }} {% raw %}\n# next\\line\t日本語 ünï 🙂'


def complete_plan(**changes: Any) -> EmbeddingPlan:
    """A plan as the last pass leaves it."""
    plan = example_plan()
    train = plan.train
    plan = replace(
        plan,
        train=replace(
            train,
            optim="adamw",
            objective=Objective(
                type="contrastive", temperature=0.05, symmetric=False, mask_positives=True, num_negatives=0
            ),
        ),
        execution=EmbeddingExecutionPlan(
            backend="accelerate",
            device="cpu",
            num_processes=1,
            precision="fp32",
            per_device_train_batch_size=train.global_batch_size,
            gradient_accumulation_steps=1,
            cached_loss=False,
            mini_batch_size=train.global_batch_size,
            gradient_checkpointing=False,
            attn_implementation="sdpa",
            encode_batch_size=16,
            num_threads=2,
            memory_limit_bytes=2**33,
            environment=FrozenMap({"MALLOC_TRIM_THRESHOLD_": "131072"}),
        ),
        estimates=Estimates(
            peak_memory_bytes=1,
            memory=MemoryEstimate(weights_bytes=1, optimizer_bytes=0, activation_bytes=0, overhead_bytes=0),
            wall_seconds=1.0,
            stage_seconds=FrozenMap(),
            wall_factor=2.0,
            calibrated=False,
        ),
    )
    plan = replace(plan, **changes)
    origins = FrozenMap({path: Origin(kind=OriginKind.DEFAULT) for path, _ in leaves(plan)})
    return with_stages(replace(plan, origins=origins), nothing_stored)


def rich_plan() -> EmbeddingPlan:
    """Everything that may be null is set."""
    plan = complete_plan()
    return complete_plan(
        model=replace(
            plan.model,
            freeze=Freeze(embeddings=True, layers=1),
            lora=Lora(r=8, alpha=16, dropout=0.1, target_modules=("query", "value")),
            prompts=Prompts(query=NASTY, document="read: "),
        ),
        train=replace(
            plan.train,
            matryoshka=Matryoshka(dimensions=(16, 8), weights=(1.0, 0.5)),
            early_stopping=EarlyStopping(metric="loss", patience=2, min_delta=0.01),
            eval_steps=2,
            lr_scheduler_type="cosine_with_restarts",
            lr_num_cycles=2,
        ),
        evaluation=replace(plan.evaluation, baseline="other", baseline_facts=plan.model.facts),
        execution=replace(plan.execution, precision="bf16", gradient_checkpointing=True, cached_loss=True),
    )
