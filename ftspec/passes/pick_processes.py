"""How many training processes: one, until a backend lowers more."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import (
    Context,
    kind_of_device,
    span_of,
    target_of,
    torch_device,
    usable_accelerators,
)
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason
from ftspec.target.model import Feature

FIELD = "execution.num_processes"


def pick_processes(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.num_processes`."""
    target, wish = target_of(plan, context), plan.execution.num_processes
    support = target.support_of(Feature.MULTI_PROCESS, kind_of_device(plan, context))
    why = support.why or "runs are planned for one process"
    if wish is not None:
        if wish > 1:
            yield Diagnostic(
                code=codes.UNSUPPORTED_FEATURE,
                detail=f"{wish} processes asked for; {target.name}: {why}",
                primary=span_of(context, FIELD),
                help="remove `resources.num_processes`, or write 1: the effective batch stays the same",
            )
        return
    usable = usable_accelerators(target, context)
    devices = [item.name for item in usable if torch_device(item.kind) == plan.execution.device]
    if len(devices) > 1:
        yield Rewrite(
            field=FIELD,
            value=1,
            reason=Reason.ONE_PROCESS_PER_RUN,
            facts=FrozenMap({"devices": len(devices), "used": 1, "backend": target.name, "why": why}),
        )
        return
    yield Rewrite(
        field=FIELD, value=1, reason=Reason.ONE_DEVICE, facts=FrozenMap({"device": plan.execution.device})
    )
