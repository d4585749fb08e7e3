"""Predicted memory and time of the settled plan."""

from ftspec.estimate.memory import memory_inputs, training_memory
from ftspec.estimate.time import estimate_time
from ftspec.passes.context import Context
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Estimates, Plan


def estimate_cost(plan: Plan, context: Context) -> Estimates:
    """Of a run in which no stage is reused. `peak_memory_bytes` is that of training, which holds more
    than encoding: `pick_encode_batch` keeps to the same limit."""
    assert isinstance(plan, EmbeddingPlan), plan.kind
    memory = training_memory(memory_inputs(plan))
    time = estimate_time(
        plan, context.hardware, calibration=context.calibrations.get(plan.execution.precision or "")
    )
    return Estimates(
        peak_memory_bytes=memory.peak_bytes,
        memory=memory,
        wall_seconds=time.wall_seconds,
        stage_seconds=time.stage_seconds,
        wall_factor=time.factor,
        calibrated=time.calibrated,
    )
