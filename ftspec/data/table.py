"""A table file as a source: its columns by role, checked row by row."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ftspec.data.cells import RowError, check_columns, slices_of, text_of, texts_of, value_of, word_of
from ftspec.data.paths import require, resolve_path
from ftspec.data.relevance import evaluation_of
from ftspec.data.rows import Evaluation, FileDone, Row, RowFault, SourceFile, normalise, text_id
from ftspec.data.table_files import format_of, read_records, table_columns
from ftspec.plan.embedding import SourcePlan

_LOOK_AHEAD = 100  # records whose keys are taken for the columns of a JSONL file


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    label: str
    path: Path
    format: str
    roles: Mapping[str, str]  # role -> column, of the roles with one column
    negative_columns: tuple[str, ...]  # several columns with one negative each
    slices: tuple[str, ...]
    index: int
    skips_faults: bool = False

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (SourceFile(name=self.path.name, path=self.path),)

    @property
    def settings(self) -> dict[str, object]:
        return {
            "type": "file",
            "format": self.format,
            "roles": dict(sorted(self.roles.items())),
            "negatives": list(self.negative_columns),
        }

    def columns(self) -> tuple[str, ...]:
        return table_columns(self.path, self.format)

    def rows(self, done: FileDone) -> Iterator[Row | RowFault]:
        """Raises FtspecError: FTS701 for an unreadable file, FTS704 for a column that is nowhere."""
        records = read_records(self.path, self.format)
        first = list(itertools.islice(records, _LOOK_AHEAD))
        wanted = list(self.roles.items()) + [("negatives", column) for column in self.negative_columns]
        check_columns(first, wanted, self.label)
        ids: dict[str, str] = {}
        for record in itertools.chain(first, records):
            try:
                if isinstance(record.value, str):
                    raise RowError(record.value)
                yield from self._read(record.value, ids)
            except RowError as fault:
                yield RowFault(file=self.label, line=record.line, reason=str(fault), excerpt=record.excerpt)
        done()

    def evaluation(self, done: FileDone) -> tuple[Evaluation, tuple[RowFault, ...]]:
        return evaluation_of(self.rows(done))

    def _read(self, record: dict[str, Any], ids: dict[str, str]) -> Iterator[Row]:
        query = text_of(record, self.roles["query"])
        positives: tuple[str | None, ...] = (None,)
        if "positive" in self.roles:
            positives = texts_of(record, self.roles["positive"], empty=False)
        label = score = None
        if "label" in self.roles:
            label = (_binary if "positive" in self.roles else _class)(record, self.roles["label"])
        if "score" in self.roles:
            score = _number(record, self.roles["score"])
        negatives: tuple[str, ...] = tuple(text_of(record, column) for column in self.negative_columns)
        if "negatives" in self.roles:
            negatives = texts_of(record, self.roles["negatives"], empty=True)
        group = word_of(record, self.roles["group"]) if "group" in self.roles else None
        slices = slices_of(record, self.slices)
        for positive in positives:
            if positive is not None and normalise(positive) in map(normalise, negatives):
                raise RowError("a negative equals the positive")
        query_id = self._id(record, query, ids)
        for positive in positives:
            yield Row(
                query_id=query_id,
                query=query,
                positive=positive,
                positive_id=None if positive is None else text_id("d", positive),
                negatives=negatives,
                label=label,
                score=score,
                group=group,
                slices=slices,
                source=self.index,
            )

    def _id(self, record: dict[str, Any], query: str, ids: dict[str, str]) -> str:
        if "id" not in self.roles:
            return text_id("q", query)
        given = word_of(record, self.roles["id"])
        if ids.setdefault(given, query) != query:
            raise RowError(f"the id `{given}` stands for another text before")
        return given


def open_table(plan: SourcePlan, folder: Path, index: int, slices: tuple[str, ...]) -> TableSource:
    """Find the file; no row is read. Raises FtspecError (FTS701)."""
    path = resolve_path(plan.path, folder)
    require(path, plan.path, folder=False)
    negatives = plan.roles.get("negatives")
    several = tuple(str(column) for column in negatives) if isinstance(negatives, tuple) else ()
    roles = {role: column for role, column in plan.roles.items() if isinstance(column, str)}
    assert "query" in roles, "a file source always has a query column"
    return TableSource(
        label=plan.path,
        path=path,
        format=format_of(path, plan.format),
        roles=roles,
        negative_columns=several,
        slices=tuple(name for name in slices if name != "group"),
        index=index,
    )


def _class(record: dict[str, Any], column: str) -> str:
    value = value_of(record, column)
    return str(value).lower() if isinstance(value, bool) else word_of(record, column)


def _binary(record: dict[str, Any], column: str) -> int:
    value = _number(record, column)
    if value not in (0, 1):
        raise RowError(f"`{column}` is {value:g}, not 0 or 1")
    return int(value)


def _number(record: dict[str, Any], column: str) -> float:
    value = value_of(record, column)
    if not isinstance(value, int | float | Decimal | str):
        raise RowError(f"`{column}` is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise RowError(f"`{column}` is not a number") from None
    if not math.isfinite(number):
        raise RowError(f"`{column}` is not a finite number")
    return number
