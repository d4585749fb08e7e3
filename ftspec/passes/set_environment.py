"""Environment variables of the child process."""

from collections.abc import Iterator
from dataclasses import replace

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, target_of
from ftspec.passes.predict import predict_peak, whole_batch
from ftspec.passes.set_memory_limit import usable_bytes
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite, Value
from ftspec.plan.reasons import Reason

FIELD = "execution.environment"

# glibc keeps freed blocks of mixed sizes: measured 16-30 % more resident memory without these. With them
# every large block is mapped and cleared anew, which costs a training step time: only where it must be.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "131072"}

# A run reads only what lies in its folder, and two layers of threads would fight for the cores.
ALWAYS = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def set_environment(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.environment`, with the backend's own variables. Memory is returned early only where
    the batch would not fit else."""
    threads = plan.execution.num_threads
    variables = {**ALWAYS, **target_of(plan, context).environment, "OMP_NUM_THREADS": str(threads)}
    facts: dict[str, Value] = {"num_threads": threads, "os": context.hardware.os}
    reason = Reason.CHILD_ENVIRONMENT
    if plan.execution.device == "cpu" and context.hardware.os == "linux":
        needed, limit = _needed_without(plan, context, variables), usable_bytes(plan, context)
        if needed > limit:
            variables.update(MALLOC)
            reason = Reason.MALLOC_RETURNS_MEMORY
            facts |= {"needed_bytes": needed, "limit_bytes": limit}
    yield Rewrite(field=FIELD, value=FrozenMap(variables), reason=reason, facts=FrozenMap(facts))


def _needed_without(plan: Plan, context: Context, variables: dict[str, str]) -> int:
    """Peak of a step of the whole batch with glibc as it is."""
    plain = replace(plan, execution=replace(plan.execution, environment=FrozenMap(variables)))
    return predict_peak(plain, whole_batch(plain), target_of(plain, context))
