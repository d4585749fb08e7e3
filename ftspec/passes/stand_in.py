"""May another machine run a plan exactly as it stands? Asked of plans that were saved elsewhere."""

from collections.abc import Iterator
from dataclasses import replace

from ftspec.hardware.model import Hardware, format_bytes
from ftspec.passes.context import Context, target_of, torch_device, usable_accelerators
from ftspec.passes.pick_precision import why_not
from ftspec.passes.set_memory_limit import memory_of_device
from ftspec.plan.model import Plan
from ftspec.target.model import Target


def unmet(plan: Plan, hardware: Hardware, targets: tuple[Target, ...]) -> tuple[str, ...]:
    """What the plan asks for and `hardware` does not have: its kind of device, as many of them, its precision,
    its threads, and memory up to the plan's limit or, failing that, for its predicted peak. Empty: it can run."""
    context = Context(hardware=hardware, targets=targets)
    if not any(target.name == plan.execution.backend for target in targets):
        return (f"the backend {plan.execution.backend}, which is not known here",)
    return tuple(_unmet(plan, context))


def _unmet(plan: Plan, context: Context) -> Iterator[str]:
    run, hardware = plan.execution, context.hardware
    usable = usable_accelerators(target_of(plan, context), context)
    devices = [item for item in usable if torch_device(item.kind) == run.device]
    processes = run.num_processes or 1
    if run.device != "cpu" and len(devices) < processes:
        yield f"{processes} × {run.device}, of which this machine has {len(devices)}"
        return
    if run.precision is not None:
        reason = why_not(run.precision, plan, context)
        if reason:
            yield f"{run.precision}: {reason}"
    if run.device == "cpu":
        asked = (run.num_threads or 1) * processes
        planned = plan.machine.facts.get("cpu.usable_cores")
        if asked > hardware.cpu.usable_cores and asked <= (planned if isinstance(planned, int) else asked):
            yield f"{asked} threads, and this machine has {hardware.cpu.usable_cores} cores"
    yield from _memory(plan, context)


def _memory(plan: Plan, context: Context) -> Iterator[str]:
    """The smallest of the devices that are used counts."""
    limit = plan.execution.memory_limit_bytes
    peak = None if plan.estimates is None else plan.estimates.peak_memory_bytes
    total, reserve = memory_of_device(plan, context)
    accelerators = context.hardware.accelerators
    sizes = [item.memory_bytes for item in accelerators if torch_device(item.kind) == plan.execution.device]
    known = sorted((size for size in sizes if size is not None), reverse=True)
    processes = plan.execution.num_processes or 1
    if plan.execution.device != "cpu" and len(known) >= processes:
        smallest = replace(
            context.hardware,
            accelerators=tuple(item for item in accelerators if item.memory_bytes == known[processes - 1]),
        )
        total, reserve = memory_of_device(plan, replace(context, hardware=smallest))
    if total is None or (limit is not None and total - reserve >= limit):
        return
    if peak is None or peak > total - reserve:
        wanted = limit if peak is None else peak
        what = f"{format_bytes(wanted or 0)} of memory" + ("" if peak is None else " at its predicted peak")
        yield f"{what}, and a run on this machine can have {format_bytes(max(total - reserve, 0))}"
