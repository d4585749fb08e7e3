"""How many CPU threads each training process uses."""

from collections.abc import Iterator

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.num_threads"
THREADS_BESIDE_ACCELERATOR = 8  # feeding one device gains nothing from more
# Products of narrower matrices end before a second thread has woken up: 20 steps of a model of width 64 took
# 1.2 s with one thread and 24 s with two.
NARROW = 128


def pick_threads(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.num_threads`: all usable cores on a CPU (one for a narrow model), a few beside an
    accelerator."""
    if plan.execution.num_threads is not None:
        return
    cores, processes = context.hardware.cpu.usable_cores, plan.execution.num_processes or 1
    width = plan.model.facts.hidden_size
    if plan.execution.device == "cpu" and width <= NARROW:
        yield Rewrite(
            field=FIELD,
            value=1,
            reason=Reason.TOO_NARROW_TO_SHARE,
            facts=FrozenMap({"usable_cores": cores, "hidden_size": width}),
        )
        return
    if plan.execution.device == "cpu":
        yield Rewrite(
            field=FIELD,
            value=max(cores // processes, 1),
            reason=Reason.USABLE_CORES,
            facts=FrozenMap({"usable_cores": cores}),
        )
        return
    yield Rewrite(
        field=FIELD,
        value=min(max(cores // processes, 1), THREADS_BESIDE_ACCELERATOR),
        reason=Reason.THREADS_OF_DEVICE,
        facts=FrozenMap({"usable_cores": cores, "device": plan.execution.device}),
    )
