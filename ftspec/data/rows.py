"""The one shape that every source is read into: a `Row`, or a `RowFault` that says why it is none."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, int, str], None]  # done, total, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One training or evaluation row. `label` is 0/1 beside a positive, else the name of a class."""

    query_id: str
    query: str
    positive_id: str | None = None
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    label: int | str | None = None
    score: float | None = None
    group: str | None = None
    slices: tuple[tuple[str, str], ...] = ()
    grade: int = 1  # judged relevance of the positive
    source: int = 0  # position of its source in the request


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """A row (or a file of a code base) that cannot be used. Lines count from 1; 0: the whole file."""

    file: str
    line: int
    reason: str
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalQuery:
    id: str
    text: str
    slices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Queries, the documents to rank for each, and graded judgements (0: judged irrelevant)."""

    queries: tuple[EvalQuery, ...] = ()
    documents: tuple[tuple[str, str], ...] = ()  # (id, text)
    grades: dict[tuple[str, str], int] = field(default_factory=dict)  # (query id, document id) -> grade


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a source: its name as digests and messages use it, and where it lies."""

    name: str
    path: Path


FileDone = Callable[[], None]


class Source(Protocol):
    """An opened source. `rows` may raise FtspecError when the source as a whole cannot be read."""

    @property
    def label(self) -> str: ...

    @property
    def files(self) -> tuple[SourceFile, ...]: ...

    @property
    def skips_faults(self) -> bool:
        """True where faults are expected and always left out and counted (a code base)."""
        ...

    @property
    def settings(self) -> dict[str, object]:
        """What besides the files' content decides the rows; plain JSON values."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Sorted names of all columns of the table, read or not; empty for what is no table."""
        ...

    def rows(self, done: FileDone) -> Iterator[Row | RowFault]: ...

    def evaluation(self, done: FileDone) -> tuple[Evaluation, tuple[RowFault, ...]]: ...


def normalise(text: str) -> str:
    """Two texts are the same when they differ in case and white space only."""
    return " ".join(text.casefold().split())


def is_encodable(text: str) -> bool:
    """False for half a surrogate pair, which JSON and Python escapes can write and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= symbol <= "\udfff" for symbol in text)


def text_id(prefix: str, text: str) -> str:
    return prefix + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def order_hash(seed: int, purpose: str, key: str) -> str:
    """The sort key of every draw: depends on the seed, on what is drawn, and on content only."""
    return hashlib.sha256(f"{seed}\0{purpose}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
