"""Plans of many specs together, against an earlier revision or alone. Made by `driver`, read by `view`."""

from dataclasses import dataclass
from enum import StrEnum

from ftspec.diagnostics.codes import CURRENT_MOVES
from ftspec.diagnostics.model import Diagnostic
from ftspec.plan.changes import Category, cost
from ftspec.plan.difference import Difference, StageReason
from ftspec.plan.drift import ModelDrift
from ftspec.plan.model import Action, Plan


class SpecState(StrEnum):
    FAILED = "failed"  # it cannot be planned
    CHANGED = "changed"  # the text, what it extends, its data, or its part of the lock
    NEW = "new"
    DELETED = "deleted"
    RENAMED = "renamed"
    PLANNED = "planned"  # compared with nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSpec:
    path: str  # for people: relative to the working directory where it lies below
    state: SpecState
    name: str = ""  # of the model; "" where it is not known
    old_path: str | None = None  # of a renamed one
    because: tuple[str, ...] = ()  # the files that changed, when the spec itself did not
    plan: Plan | None = None
    digest: str | None = None  # of the plan
    difference: Difference | None = None  # None: there is nothing to compare with, see `notes`
    file: str | None = None  # the plan file, as a command takes it
    found: tuple[Diagnostic, ...] = ()
    drift: tuple[ModelDrift, ...] = ()  # of what it made before: only what is relevant
    notes: tuple[str, ...] = ()  # sentences: what could not be compared, and why
    is_lock: bool = False  # no spec, but what decides what names in specs mean

    @property
    def category(self) -> Category | None:
        return None if self.difference is None else self.difference.category

    @property
    def is_empty(self) -> bool:
        """Something changed that means nothing: a comment, the order of keys."""
        return self.difference is not None and self.difference.is_empty

    @property
    def moves_current(self) -> bool:
        """A version that was registered before becomes current again, and nothing is trained."""
        return "train" not in self.running and any(each.code is CURRENT_MOVES for each in self.found)

    @property
    def is_stored(self) -> bool:
        """Other weights that were trained before: the category tells what changes, and not what it costs."""
        return self.difference is not None and self.difference.is_stored

    @property
    def running(self) -> tuple[str, ...]:
        """The stages that would run because of the change; of a plan alone, those that are not stored."""
        if self.difference is not None:
            stages = self.difference.stages
            return tuple(stage.name for stage in stages if stage.reason is StageReason.CHANGED)
        if self.plan is None:
            return ()
        return tuple(stage.name for stage in self.plan.stages if stage.action is Action.RUN)

    @property
    def seconds(self) -> float | None:
        """Predicted, of what runs because of the change."""
        if self.difference is not None and self.difference.estimates is not None:
            return self.difference.estimates.seconds
        if self.plan is None or self.plan.estimates is None or self.difference is not None:
            return None
        from ftspec.plan.stages import predicted_seconds

        return predicted_seconds(self.plan)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Predicted, where a program of the backend runs."""
        from ftspec.plan.stages import program_stages

        if (
            self.plan is None
            or self.plan.estimates is None
            or not set(program_stages(self.plan)) & set(self.running)
        ):
            return None
        return self.plan.estimates.peak_memory_bytes

    @property
    def device_seconds(self) -> float | None:
        """Time of all devices together."""
        if self.seconds is None or self.plan is None:
            return None
        return self.seconds * (self.plan.execution.num_processes or 1)

    @property
    def order(self) -> tuple[int, float, str]:
        """Faults first, then the costliest."""
        if self.state is SpecState.FAILED:
            return (0, 0.0, self.path)
        if self.state in (SpecState.NEW, SpecState.PLANNED) and self.plan is not None:
            rank = cost(Category.RETRAIN) if self.running else 0
        else:
            rank = -1 if self.category is None else cost(self.category)
        return (len(Category) - rank, -(self.seconds or 0.0), self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSet:
    """`specs` in the order that people should read: faults, then the costliest. Unchanged ones are counted."""

    specs: tuple[PlannedSpec, ...]
    unchanged: int
    revision: str | None  # as it was asked for; None: nothing is compared
    base: str | None  # the commit that it stands for: where HEAD left its line
    head: str | None
    folder: str | None = None  # of the plan files
    notes: tuple[str, ...] = ()
