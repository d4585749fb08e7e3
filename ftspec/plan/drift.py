"""What moved under a model since it was made, although nobody changed its spec."""

from dataclasses import dataclass
from enum import StrEnum


class DriftKind(StrEnum):
    MODEL = "model"  # the base model: upstream revision, files
    BASELINE = "baseline"  # the model that it was measured against
    DATA = "data"  # sources of training rows
    EVALUATION = "evaluation"  # sources of held-out rows
    SPEC = "spec"  # it is gone; what an edited one means is told by plans
    ARTIFACT = "artifact"  # what runs stored or registered
    ENVIRONMENT = "environment"  # versions of packages
    HARDWARE = "hardware"
    BEHAVIOUR = "behaviour"  # scores on fresh judgements


class DriftSeverity(StrEnum):
    """Relevant: the model in use is not the one that was judged, is below its gates, or would come out another
    one today. Informational: all that is in use is as it was; a new run may give other numbers."""

    RELEVANT = "relevant"
    INFORMATIONAL = "informational"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One thing that moved; `old` and `new` are texts for people, and never the same."""

    kind: DriftKind
    subject: str
    severity: DriftSeverity
    old: str
    new: str
    remedy: str

    def __post_init__(self) -> None:
        assert self.old != self.new, f"drift without a difference: {self}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDrift:
    """All that is known of one registered version that is in use. `unknown`: what could not be looked at, and
    why; it counts neither as drift nor as none."""

    name: str
    version: str
    used_as: tuple[str, ...]  # environments that point to it, and `current`
    spec_path: str  # "" where its run is gone
    run_id: str | None
    made: str  # ISO 8601, UTC
    findings: tuple[DriftFinding, ...]
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # such as a spec that was edited since, which is a change and no drift

    @property
    def relevant(self) -> tuple[DriftFinding, ...]:
        return tuple(each for each in self.findings if each.severity is DriftSeverity.RELEVANT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    models: tuple[ModelDrift, ...]
    not_made: tuple[str, ...] = ()  # names of specs of which nothing is registered yet

    @property
    def relevant(self) -> int:
        return sum(len(each.relevant) for each in self.models)

    @property
    def informational(self) -> int:
        return sum(len(each.findings) for each in self.models) - self.relevant
