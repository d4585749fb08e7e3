"""How many held-out rows are scored, and answered, at once."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, span_of, target_of
from ftspec.passes.least import least_peak
from ftspec.passes.predict import predict_scoring_peak
from ftspec.passes.set_memory_limit import usable_bytes
from ftspec.passes.units import gib
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.score_batch_size"
MOST_ON_CPU = 8  # larger batches only pad more there
MOST_ON_ACCELERATOR = 32


def pick_score_batch(plan: LlmPlan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.score_batch_size`: a power of two. Losses do not depend on it.

    What is shipped is what is scored: a merged model stands unquantised in memory, however it was trained.
    """
    limit, target = usable_bytes(plan, context), target_of(plan, context)
    size = MOST_ON_CPU if plan.execution.device == "cpu" else MOST_ON_ACCELERATOR
    while size > 1 and predict_scoring_peak(plan, size, target) > limit:
        size //= 2
    needed = predict_scoring_peak(plan, size, target)
    if needed <= limit:
        yield Rewrite(
            field=FIELD,
            value=size,
            reason=Reason.SCORE_BATCH_FITS,
            facts=FrozenMap({"needed_bytes": needed, "limit_bytes": limit, "device": plan.execution.device}),
        )
        return
    from ftspec.passes.remedies import remedies

    offers = remedies(plan, context, limit, lambda changed: least_peak(changed, context))
    yield Diagnostic(
        code=codes.DOES_NOT_FIT,
        detail=f"scoring one row at a time with {_what(plan)} needs {gib(needed)}, may use {gib(limit)}",
        primary=span_of(context, "execution.memory_limit_bytes")
        or span_of(context, "export.merge")
        or span_of(context, "model.base"),
        help="any one of these makes it fit: " + "; ".join(offers),
    )


def _what(plan: LlmPlan) -> str:
    return "the merged model" if plan.export.merge and plan.adapter.type != "full" else "the model"
