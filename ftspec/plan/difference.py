"""What differs between two plans, or two specs, and what of a run that costs. Read by `view`, made by `driver`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ftspec.plan.changes import Category, cost
from ftspec.plan.continuation import Continuation
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key, or one thing of the world that a key names. `old` and `new` are JSON values; null: not there."""

    path: str
    old: Any
    new: Any
    category: Category
    why: str
    rule: str  # its path in the table of `ftspec diff --rules`
    place: (
        str  # "specs/a.yaml:12:3" on the new side, or on the old one where the key is gone; "": not written
    )


class StageReason(StrEnum):
    UNCHANGED = "unchanged"  # the same key on both sides, and its output is stored
    STORED = "stored"  # another key, whose output is stored already
    CHANGED = "changed"  # another key: it runs again
    NOT_STORED = "not_stored"  # the same key on both sides, and nothing is stored: it would run anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChange:
    name: str
    action: str  # run | reuse
    reason: StageReason
    seconds: float | None  # predicted; None: no estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionChange:
    """A value that ftspec settled otherwise. `reason` and `by` are those of the new side."""

    field: str
    old: Value
    new: Value
    reason: str | None
    by: str | None
    facts: FrozenMap[Value] = FrozenMap()


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityChange:
    """A field that the two backends do not do equally well. None: the backend is not handed the field."""

    field: str
    old: str | None  # exact | approximated | impossible
    new: str | None
    difference: str  # in words, of the new side; of the old one where the new one is exact


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """Rows by identity: the id where the source has one, else the query, else the whole row."""

    added: int
    removed: int
    changed: int
    examples: tuple[str, ...]  # at most three, "+ …", "- …" or "~ …"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChange:
    """One data source whose content differs. None: it is not on that side."""

    path: str  # data.train.0
    label: str  # as the spec writes its path
    old_digest: str | None
    new_digest: str | None
    old_rows: int | None
    new_rows: int | None
    rows: RowChange | None  # None: both versions cannot be read
    share_new: float | None  # of the new side's rows: those added or changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A number of the data that moved: rows, lengths in tokens, leaked texts."""

    name: str
    old: float
    new: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """`seconds` of the stages that run because of the changes; `seconds_all` of all that `apply` of the new
    side would run now. `factor`: the true value is expected within [seconds / factor, seconds * factor]."""

    seconds: float
    seconds_all: float
    factor: float
    old_peak_memory_bytes: int | None
    new_peak_memory_bytes: int
    memory_limit_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideName:
    label: str  # as it was asked for
    form: str  # spec | plan | run | lock | revision
    name: str  # of the model; "" for a lock
    kind: str
    machine: str
    backend: str | None
    spec_hash: str | None
    plan_digest: str | None
    space_id: str | None = None  # Embedding: of the base, read as planned; training moves on from there


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`category` is the costliest of the changes; None where nothing changed."""

    old: SideName
    new: SideName
    category: Category | None
    changes: tuple[Change, ...]
    stages: tuple[StageChange, ...] = ()
    decisions: tuple[DecisionChange, ...] = ()
    fidelity: tuple[FidelityChange, ...] = ()
    data: tuple[SourceChange, ...] = ()
    shifts: tuple[Shift, ...] = ()
    estimates: Costs | None = None
    continuation: Continuation | None = None
    notes: tuple[str, ...] = ()  # sentences: what could not be compared, and why

    @property
    def is_empty(self) -> bool:
        return not self.changes

    @property
    def is_stored(self) -> bool:
        """It asks for other weights, and what trains them ran before: nothing is trained."""
        return (
            self.category is not None
            and cost(self.category) >= cost(Category.EXTEND)
            and any((each.name, each.action) == ("train", "reuse") for each in self.stages)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecChanges:
    """What became of the specs of a project. Paths are those that people use; `differences` are those that
    mean something."""

    differences: tuple[Difference, ...] = ()
    new: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()  # what it was and is
    is_partial: bool = False  # some cannot be read, or planned: what became of them is not known

    @property
    def is_empty(self) -> bool:
        """To rename a spec means nothing."""
        return not (self.differences or self.new or self.deleted)
