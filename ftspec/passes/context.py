"""What passes look at beside the plan: the machine and the backends."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ftspec.diagnostics.model import Span
from ftspec.estimate.time import Calibration
from ftspec.hardware.model import Accelerator, Hardware
from ftspec.plan.model import OriginKind, Plan
from ftspec.target.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`targets` in the order of the backend path: among equals the first one is taken.

    `spans`: where the user wrote the leaves that were given, for diagnostics that point there.
    `calibrations`: (backend, precision) → rates that earlier runs of this model measured on this machine.
    """

    hardware: Hardware
    targets: tuple[Target, ...]
    spans: Mapping[str, Span] = field(default_factory=dict)
    calibrations: Mapping[tuple[str, str], Calibration] = field(default_factory=dict)


def target_of(plan: Plan, context: Context) -> Target:
    """The backend that `pick_backend` settled."""
    return next(target for target in context.targets if target.name == plan.execution.backend)


def torch_device(kind: str) -> str:
    """Kind of hardware → name of the device in a plan: torch drives ROCm devices as `cuda`."""
    return "cuda" if kind == "rocm" else kind


def usable_accelerators(target: Target, context: Context) -> tuple[Accelerator, ...]:
    """Those of the machine that the backend runs on."""
    return tuple(item for item in context.hardware.accelerators if item.kind in target.devices)


def accelerator_of(plan: Plan, context: Context) -> Accelerator | None:
    """The accelerator that the run uses: of those of the plan's device the largest; None on the CPU."""
    usable = usable_accelerators(target_of(plan, context), context)
    matching = [item for item in usable if torch_device(item.kind) == plan.execution.device]
    return max(matching, key=lambda item: item.memory_bytes or 0, default=None)


def kind_of_device(plan: Plan, context: Context) -> str:
    """Device kind by which a target's features are asked: cpu | cuda | rocm | mps."""
    accelerator = accelerator_of(plan, context)
    return "cpu" if accelerator is None else accelerator.kind


def is_given(plan: Plan, path: str) -> bool:
    return plan.origins[path].kind is OriginKind.GIVEN


def span_of(context: Context, path: str) -> Span | None:
    """Where the user wrote the value of a leaf; None where it was not written."""
    return context.spans.get(path)
