"""How many training processes: one for each device, where the backend can share a batch among them."""

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
from ftspec.passes.pick_backend import processes_for
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite, Value
from ftspec.plan.reasons import Reason
from ftspec.target.features import Feature, Support

FIELD = "execution.num_processes"


def pick_processes(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.num_processes`. Processes share the batch equally, so that it stays what it is: of
    eight devices a batch of 12 uses six."""
    target, wish = target_of(plan, context), plan.execution.num_processes
    support = target.support_of(Feature.MULTI_PROCESS, kind_of_device(plan, context))
    able = support.support in {Support.FULL, Support.APPROXIMATED}
    why = support.why or "runs are planned for one process"
    usable = usable_accelerators(target, context)
    devices = [item.name for item in usable if torch_device(item.kind) == plan.execution.device]
    if wish is not None:
        fault = _fault_of(wish, plan, len(devices), f"{target.name}: {why}" if not able else "")
        if fault is not None:
            detail, remedy = fault
            yield Diagnostic(
                code=codes.UNSUPPORTED_FEATURE,
                detail=f"{wish} processes asked for; {detail}",
                primary=span_of(context, FIELD),
                help=remedy,
            )
        return
    if len(devices) < 2:
        yield Rewrite(
            field=FIELD, value=1, reason=Reason.ONE_DEVICE, facts=FrozenMap({"device": plan.execution.device})
        )
        return
    facts: dict[str, Value] = {"devices": len(devices), "backend": target.name}
    if not able:
        yield Rewrite(
            field=FIELD,
            value=1,
            reason=Reason.ONE_PROCESS_PER_RUN,
            facts=FrozenMap({**facts, "used": 1, "why": why}),
        )
        return
    count = processes_for(plan, len(devices))
    yield Rewrite(
        field=FIELD,
        value=count,
        reason=Reason.ONE_PROCESS_PER_DEVICE,
        facts=FrozenMap({**facts, "used": count, "global_batch_size": plan.train.global_batch_size}),
    )


def _fault_of(wish: int, plan: Plan, devices: int, unsupported: str) -> tuple[str, str] | None:
    """What is wrong with a number of processes that was asked for, and the remedy."""
    batch = plan.train.global_batch_size
    if wish == 1:
        return None
    if unsupported:
        return (
            unsupported,
            "remove `resources.num_processes`, or write 1: the effective batch stays the same",
        )
    if plan.execution.device != "cpu" and wish > devices:
        return f"the machine has {devices} such device" + ("s" if devices != 1 else ""), "write fewer"
    if batch % wish:
        return (
            f"the batch of {batch} cannot be shared equally",
            f"write a divisor of {batch}, or change `train.global_batch_size`",
        )
    return None
