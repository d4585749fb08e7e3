"""Which device trains: the best one of the machine that the backend knows."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, span_of, target_of, torch_device, usable_accelerators
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.device"


def pick_device(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.device`. A target lists its devices best first; every machine has a CPU."""
    target, accelerators = target_of(plan, context), context.hardware.accelerators
    usable = usable_accelerators(target, context)
    kinds = {"cpu", *(item.kind for item in usable)}
    wish = plan.execution.device
    if wish is not None:
        if wish not in map(torch_device, kinds):
            yield Diagnostic(
                code=codes.DEVICE_MISSING,
                detail=f"`{wish}` asked for; {context.hardware.name} has {context.hardware.summary()}",
                primary=span_of(context, FIELD),
                help="`device: auto` takes the best one there is; `--hardware` plans for another machine",
            )
        return
    for item in accelerators:
        if item not in usable:
            yield Rewrite(
                field=FIELD,
                value=None,
                reason=Reason.DEVICE_REJECTED,
                facts=FrozenMap({"rejected": item.name, "why": f"{target.name} does not run on {item.kind}"}),
            )
    chosen = torch_device(next(device for device in target.devices if device in kinds))
    names = tuple(item.name for item in usable if torch_device(item.kind) == chosen)
    if chosen == "cpu":
        yield Rewrite(
            field=FIELD,
            value=chosen,
            reason=Reason.DEVICE_PRESENT if accelerators else Reason.NO_ACCELERATOR,
            facts=FrozenMap({"cpu": context.hardware.cpu.model, "backend": target.name}),
        )
        return
    yield Rewrite(
        field=FIELD,
        value=chosen,
        reason=Reason.DEVICE_PRESENT,
        facts=FrozenMap({"accelerators": names, "backend": target.name}),
    )
