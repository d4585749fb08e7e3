"""Predicted memory and time of the settled plan."""

from ftspec.estimate.time import TimeEstimate, estimate_time
from ftspec.passes.context import Context, target_of
from ftspec.passes.predict import planned_memory
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Estimates, Plan


def estimate_cost(plan: Plan, context: Context) -> Estimates:
    """Of a run in which no stage is reused. `memory` is that of one training process; `peak_memory_bytes` is the
    largest of a stage. Encoding never holds more than training; scoring a merged LLM may."""
    target = target_of(plan, context)
    memory = planned_memory(plan, target)
    peak = memory.peak_bytes
    if isinstance(plan, LlmPlan):
        from ftspec.estimate.decoder import scoring_memory

        rows = plan.execution.score_batch_size or 1
        peak = max(peak, scoring_memory(plan, target.memory, rows).peak_bytes)
    time = _time(plan, context)
    return Estimates(
        peak_memory_bytes=peak,
        memory=memory,
        wall_seconds=time.wall_seconds,
        stage_seconds=time.stage_seconds,
        wall_factor=time.factor,
        calibrated=time.calibrated,
    )


def _time(plan: Plan, context: Context) -> TimeEstimate:
    run = plan.execution
    calibration = context.calibrations.get((run.backend or "", run.precision or ""))
    if isinstance(plan, EmbeddingPlan):
        return estimate_time(plan, context.hardware, calibration=calibration)
    assert isinstance(plan, LlmPlan), plan.kind
    from ftspec.estimate.decoder_time import estimate_decoder_time

    costs = target_of(plan, context).memory
    return estimate_decoder_time(plan, context.hardware, costs, calibration=calibration)
