"""Which attention kernel: torch's own, which picks a flash or memory-efficient one where it can."""

from collections.abc import Iterator

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, kind_of_device, target_of
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason
from ftspec.target.features import Feature

FIELD = "execution.attn_implementation"


def pick_attention(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.attn_implementation`.

    Code that comes with a model brings its own attention, which transformers calls `eager`.
    """
    if plan.execution.attn_implementation is not None:
        return
    kernel = "eager" if plan.model.facts.needs_remote_code else "sdpa"
    target, kind = target_of(plan, context), kind_of_device(plan, context)
    support = target.support_of(Feature.FLASH_ATTENTION, kind)
    if kind in ("cuda", "rocm") and not target.supports(Feature.FLASH_ATTENTION, kind):
        yield Rewrite(
            field=FIELD,
            value=None,
            reason=Reason.ATTENTION_KERNEL,
            facts=FrozenMap({"rejected": "flash_attention_2", "why": f"{target.name}: {support.why}"}),
        )
    yield Rewrite(
        field=FIELD,
        value=kernel,
        reason=Reason.ATTENTION_KERNEL,
        facts=FrozenMap({"model_type": plan.model.facts.model_type, "device": plan.execution.device}),
    )
