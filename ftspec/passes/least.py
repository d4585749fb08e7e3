"""The least memory that a plan can be run in."""

from ftspec.passes.candidates import candidates
from ftspec.passes.context import Context, target_of
from ftspec.passes.predict import predict_peak, predict_scoring_peak
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan


def least_peak(plan: Plan, context: Context) -> int:
    """Bytes of the leanest way to take a step of the whole batch; of an LLM also of scoring one row, which may
    need more than training: what is merged is not quantised."""
    target = target_of(plan, context)
    training = min(predict_peak(plan, way, target) for way in candidates(plan, context))
    if not isinstance(plan, LlmPlan):
        return training
    return max(training, predict_scoring_peak(plan, 1, target))
