"""The base of an LLM is one that the backend's library reads, by what its config.json says."""

from collections.abc import Iterator
from difflib import get_close_matches

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, span_of, target_of
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan, Rewrite
from ftspec.target.model import Target

FIELD = "model.base"


def check_base(plan: LlmPlan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """FTS409, which a run would find only when it loads the model, after the data is made."""
    target = target_of(plan, context)
    why = why_not_read(target, plan)
    if not why:
        return
    device = plan.execution.device
    able = [
        f"`{other.name}`"
        for other in context.targets
        if plan.kind in other.kinds
        and other.emit_only is None
        and device in other.devices
        and not why_not_read(other, plan)
    ]
    kind = plan.model.facts.model_type
    close = get_close_matches(kind, () if target.models is None else target.models.types, n=1)
    yield Diagnostic(
        code=codes.BASE_NOT_READ,
        detail=f"{plan.model.base}: {why}",
        primary=span_of(context, FIELD),
        help=f"write {' or '.join(able)} for `resources.backend`"
        if able
        else "name another base" + (f"; a known type of a like name is `{close[0]}`" if close else ""),
    )


def why_not_read(target: Target, plan: Plan) -> str:
    """Why the target's library does not read the base as transformers does; empty if it does.

    By the target's lists alone: which packages this machine has must not decide what a plan says."""
    models = target.models
    if models is None or not isinstance(plan, LlmPlan):
        return ""
    facts = plan.model.facts
    if facts.model_type not in models.types and not facts.needs_remote_code:
        return f"{models.package} {models.version} has no `{facts.model_type}` that generates text"
    if facts.model_type in models.otherwise:
        return f"{models.package} {models.version} {models.otherwise[facts.model_type]}"
    if models.rope_types is not None and facts.rope_type not in ("", *models.rope_types):
        return f"{models.package} does not compute `{facts.rope_type}` rotary positions as transformers does"
    if (
        facts.rope_by_layer
        and models.rope_by_layer is not None
        and facts.model_type not in models.rope_by_layer
    ):
        return f"its layers differ in rotary positions, which {target.name} does not read"
    reach = plan.model.max_seq_length + plan.evaluation.max_new_tokens
    window = None if models.keeps_window(facts.model_type) else facts.sliding_window
    if window is not None and reach > window:
        return (
            f"rows and answers of {reach} tokens reach beyond its sliding window of {window}, which "
            f"{models.package} may not keep to"
        )
    return ""
