"""How much memory training may use."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, accelerator_of
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.memory_limit_bytes"
_MIB = 2**20


def set_memory_limit(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.memory_limit_bytes`: what the device has, less a reserve for everything else."""
    if plan.execution.memory_limit_bytes is not None:
        return
    total, reserve = memory_of_device(plan, context)
    if total is None:
        accelerator = accelerator_of(plan, context)
        assert accelerator is not None
        yield Diagnostic(
            code=codes.MEMORY_UNKNOWN,
            detail=f"{accelerator.name} does not say how much memory it has",
            help="write it into the spec: `resources.limits.memory: 16GiB`",
        )
        return
    yield Rewrite(
        field=FIELD,
        value=total - reserve,
        reason=Reason.MEMORY_OF_MACHINE,
        facts=FrozenMap({"memory_bytes": total, "reserve_bytes": reserve}),
    )


def memory_of_device(plan: Plan, context: Context) -> tuple[int | None, int]:
    """Memory in bytes that the run's device has (None: unknown), and how much of it is left to others.

    On a CPU a tenth, at least 0.5 and at most 4 GiB, stays for the system, the parent process and the
    page cache; in a container smaller than 2 GiB a quarter. On a discrete accelerator one part in 32
    stays for the driver; the context of the process itself is in the estimate. An accelerator that
    shares the machine's memory states what a process may use.
    """
    accelerator, machine = accelerator_of(plan, context), context.hardware.memory_bytes
    if accelerator is None:
        return machine, min(max(machine // 10, 512 * _MIB), 4096 * _MIB, machine // 4)
    if accelerator.memory_bytes is not None:
        return accelerator.memory_bytes, 0 if accelerator.shares_memory else accelerator.memory_bytes // 32
    if accelerator.shares_memory:
        return machine, machine // 4
    return None, 0


def usable_bytes(plan: Plan, context: Context) -> int:
    """The limit of the plan, but never more than the device has."""
    limit = plan.execution.memory_limit_bytes
    assert limit is not None
    total, _ = memory_of_device(plan, context)
    return limit if total is None else min(limit, total)
