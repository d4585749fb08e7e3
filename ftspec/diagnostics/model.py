"""What a stage says about its input: a `Diagnostic`, its place, and the list that collects them.

A stage returns ``(value | None, diagnostics)``. It collects every fault it can see instead of
stopping at the first one; only `cli` turns diagnostics into an exit code.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ftspec.diagnostics.code import Code


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A range of characters in a source text; lines and columns count from 1, the end is exclusive.

    `excerpt` is the text of the first line, carried along so that a renderer reads no file:
    the text may come from `--set` or from an overlay rather than from the path named.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A second place that belongs to the story, e.g. the first of two duplicate keys."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding. The summary is the constant sentence of its code; values stand in `detail`.

    `about` names a key of the spec, for rooms that know what was asked for and not where it is written;
    the driver turns it into `primary`.
    """

    code: Code
    detail: str = ""
    primary: Span | None = None
    related: tuple[Related, ...] = ()
    help: str = ""
    severity: Severity | None = None  # None: the code's own
    about: tuple[str | int, ...] = ()

    @property
    def level(self) -> Severity:
        return self.severity or Severity(self.code.severity)

    @property
    def summary(self) -> str:
        return self.code.summary

    @property
    def is_error(self) -> bool:
        return self.level is Severity.ERROR


@dataclass(slots=True)
class Diagnostics:
    """An append-only list of findings with the two questions every stage asks of it."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        code: Code,
        detail: str = "",
        *,
        primary: Span | None = None,
        related: tuple[Related, ...] = (),
        help: str = "",
        severity: Severity | None = None,
        about: tuple[str | int, ...] = (),
    ) -> None:
        self.items.append(
            Diagnostic(
                code=code,
                detail=detail,
                primary=primary,
                related=related,
                help=help,
                severity=severity,
                about=about,
            )
        )

    def extend(self, others: Iterable[Diagnostic]) -> None:
        self.items.extend(others)

    @property
    def has_errors(self) -> bool:
        return any(item.is_error for item in self.items)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class FtspecError(Exception):
    """Carries diagnostics out of code that cannot return them (callbacks, context managers).

    Raised for user faults only; our own faults are assertions.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code.id}: {d.summary} {d.detail}" for d in diagnostics))
        self.diagnostics = diagnostics
