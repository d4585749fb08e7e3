"""Where each leaf of a plan came from: the user's file, a default of the schema, or a decision."""

from ftspec.diagnostics.model import Span
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Origin, OriginKind, Plan
from ftspec.resolve.desk import AnyDesk, SpecPath
from ftspec.source.document import Document

# Leaves whose key in the spec has another name or place. All others stand at their own path.
SPEC_PATHS: dict[str, SpecPath] = {
    "execution.backend": ("resources", "backend"),
    "execution.device": ("resources", "device"),
    "execution.num_processes": ("resources", "num_processes"),
    "execution.precision": ("resources", "precision"),
    "execution.num_threads": ("resources", "limits", "threads"),
    "execution.memory_limit_bytes": ("resources", "limits", "memory"),
    "train.total_steps": ("train", "max_steps"),
    "model.quantization_bits": ("model", "quantization", "bits"),
    "execution.attn_implementation": ("model", "attention"),
}


def spec_path(field: str) -> SpecPath:
    """Path in the spec of a leaf of the plan; it need not exist there."""
    if field in SPEC_PATHS:
        return SPEC_PATHS[field]
    parts = field.split(".")
    if len(parts) > 3 and parts[3] == "raft":  # settings of a RAFT source stand in the source itself
        parts = [*parts[:3], *parts[4:]]
    if parts[0] == "gates":  # a metric's name may hold a dot
        return ("gates", ".".join(parts[1:-1]), parts[-1])
    return tuple(int(part) if part.isdigit() else part for part in parts)


def origins_of(plan: Plan, desk: AnyDesk) -> FrozenMap[Origin]:
    """One origin for each leaf. What is neither written nor explained by a decision is a default."""
    decided = {decision.field for decision in desk.decisions}
    origins: dict[str, Origin] = {}
    for field, _ in leaves(plan):
        path = spec_path(field)
        if field in decided:
            origins[field] = Origin(kind=OriginKind.DECIDED)
        elif desk.given(*path):
            origins[field] = Origin(kind=OriginKind.GIVEN, place=desk.place(*path))
        else:
            origins[field] = Origin(kind=OriginKind.DEFAULT)
    return FrozenMap(origins)


def given_spans(plan: Plan, document: Document) -> dict[str, Span]:
    """Places of the leaves that the user gave, for `passes.context.Context.spans`."""
    spans = {}
    for field, origin in plan.origins.items():
        span = document.span(spec_path(field)) if origin.kind is OriginKind.GIVEN else None
        if span is not None:
            spans[field] = span
    return spans
