"""The passes in their order, each with the leaves that must be settled before it.

The order is data: moving a pass above one of its needs fails a test.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.check_base import check_base
from ftspec.passes.check_execution import check_execution
from ftspec.passes.check_features import check_features
from ftspec.passes.context import Context
from ftspec.passes.fit_memory import fit_memory
from ftspec.passes.pick_attention import pick_attention
from ftspec.passes.pick_backend import pick_backend
from ftspec.passes.pick_device import pick_device
from ftspec.passes.pick_encode_batch import pick_encode_batch
from ftspec.passes.pick_precision import pick_precision
from ftspec.passes.pick_processes import pick_processes
from ftspec.passes.pick_score_batch import pick_score_batch
from ftspec.passes.pick_threads import pick_threads
from ftspec.passes.set_environment import set_environment
from ftspec.passes.set_memory_limit import set_memory_limit
from ftspec.plan import embedding, llm
from ftspec.plan.model import Rewrite

Pass = Callable[[Any, Context], Iterator[Rewrite | Diagnostic]]  # of a plan of the pass's kind, or of any


@dataclass(frozen=True, slots=True)
class Step:
    run: Pass
    needs: tuple[str, ...]  # leaves of `execution`
    settles: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.run.__name__


_BEFORE_MEMORY: tuple[Step, ...] = (
    Step(pick_backend, needs=(), settles=("backend",)),
    Step(pick_device, needs=("backend",), settles=("device",)),  # a backend knows some devices only
    Step(pick_processes, needs=("backend", "device"), settles=("num_processes",)),
    Step(pick_precision, needs=("backend", "device"), settles=("precision",)),
    Step(pick_attention, needs=("backend", "device"), settles=("attn_implementation",)),
    Step(pick_threads, needs=("device", "num_processes"), settles=("num_threads",)),
    Step(set_memory_limit, needs=("device",), settles=("memory_limit_bytes",)),
    Step(
        set_environment,  # what glibc keeps matters only near the limit
        needs=(
            "device",
            "num_processes",
            "precision",
            "attn_implementation",
            "num_threads",
            "memory_limit_bytes",
        ),
        settles=("environment",),
    ),
)
_FITTED = (  # activations depend on device, precision and attention kernel
    "backend",
    "device",
    "num_processes",
    "precision",
    "attn_implementation",
    "memory_limit_bytes",
    "environment",
)
_SETTLED_BY_MEMORY = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
)
_CHECKS: tuple[Step, ...] = (
    Step(check_features, needs=("backend", "device"), settles=()),
    Step(  # sees what all others decided
        check_execution,
        needs=("precision", "attn_implementation", "gradient_accumulation_steps"),
        settles=(),
    ),
)
PASSES: Mapping[str, tuple[Step, ...]] = {  # by kind
    embedding.KIND: (
        *_BEFORE_MEMORY,
        Step(fit_memory, needs=_FITTED, settles=(*_SETTLED_BY_MEMORY, "cached_loss", "mini_batch_size")),
        Step(
            pick_encode_batch,
            needs=("device", "memory_limit_bytes", "attn_implementation"),
            settles=("encode_batch_size",),
        ),
        *_CHECKS,
    ),
    llm.KIND: (
        *_BEFORE_MEMORY,
        Step(fit_memory, needs=_FITTED, settles=_SETTLED_BY_MEMORY),
        Step(
            pick_score_batch,
            needs=(*_FITTED, "per_device_train_batch_size"),  # what cannot be trained is not scored
            settles=("score_batch_size",),
        ),
        Step(check_base, needs=("backend", "device"), settles=()),
        *_CHECKS,
    ),
}
