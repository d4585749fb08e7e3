"""Environment variables of the child process."""

from collections.abc import Iterator

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason

FIELD = "execution.environment"

# glibc keeps freed blocks of mixed sizes: measured 16-24 % more resident memory without these.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "131072"}

# A run reads only what lies in its folder, and two layers of threads would fight for the cores.
ALWAYS = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}


def set_environment(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.environment`."""
    threads = plan.execution.num_threads
    variables = {**ALWAYS, "OMP_NUM_THREADS": str(threads)}
    reason = Reason.CHILD_ENVIRONMENT
    if plan.execution.device == "cpu" and context.hardware.os == "linux":
        variables.update(MALLOC)
        reason = Reason.MALLOC_RETURNS_MEMORY
    yield Rewrite(
        field=FIELD,
        value=FrozenMap(variables),
        reason=reason,
        facts=FrozenMap({"num_threads": threads, "os": context.hardware.os}),
    )
