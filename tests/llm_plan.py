"""A complete LLM plan, as the last pass leaves it, made without any data or model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.invariants import check_complete
from ftspec.plan.llm import AdapterPlan, LlmExecutionPlan, LlmPlan
from ftspec.plan.model import Estimates, MemoryEstimate, Origin, OriginKind
from ftspec.plan.stages import nothing_stored, with_stages
from tests.example_text import example_text_plan

FULL = AdapterPlan(type="full")


def make_llm_plan(**overrides: Any) -> LlmPlan:
    """A keyword is a field of the plan: a value for it, or a mapping of the fields of a section that differ.

        make_llm_plan(name="other", train={"packing": True}, execution={"backend": "mlx"}, adapter=FULL)

    Every leaf has an origin, the default one unless `origins` says otherwise for it. Each source has facts.
    """
    plan = example_text_plan()
    plan = replace(
        plan,
        execution=LlmExecutionPlan(
            backend="trl",
            device="cpu",
            num_processes=1,
            precision="fp32",
            per_device_train_batch_size=plan.train.global_batch_size,
            gradient_accumulation_steps=1,
            gradient_checkpointing=False,
            attn_implementation="sdpa",
            num_threads=2,
            memory_limit_bytes=2**33,
            environment=FrozenMap({"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}),
            score_batch_size=4,
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
    origins: Mapping[str, Origin] = overrides.pop("origins", {})
    for name, value in overrides.items():
        present = getattr(plan, name)
        is_change = isinstance(value, Mapping) and not isinstance(present, Mapping)
        plan = replace(plan, **{name: replace(present, **value) if is_change else value})
    count = len(plan.data.train) + len(plan.data.evaluation)
    if count != len(plan.data.facts.sources):
        (source, *_), (render, *_) = plan.data.facts.sources, plan.data.facts.render
        facts = replace(plan.data.facts, sources=(source,) * count, render=(render,) * count)
        plan = replace(plan, data=replace(plan.data, facts=facts))
    given = {path: Origin(kind=OriginKind.DEFAULT) for path, _ in leaves(plan)}
    plan = replace(plan, origins=FrozenMap({**given, **origins}))
    check_complete(plan)
    return with_stages(plan, nothing_stored)
