"""Records of a table file: JSONL, JSON, CSV or Parquet, as (line, record or reason, excerpt)."""

import csv
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from ftspec.data.paths import not_found
from ftspec.plan.formats import FORMATS, format_of_name

_EXCERPT_CHARS = 160
_MAX_FIELD_CHARS = 16_000_000
_LOOK_AHEAD = 100  # records whose keys are taken for the columns of JSON


class Record(NamedTuple):
    """`value` is a mapping of columns to values, or the reason why there is none."""

    line: int  # of the file; for parquet, and for one JSON list, the number of the row
    value: dict[str, Any] | str
    excerpt: str


class _JsonError(ValueError):
    pass


def format_of(path: Path, given: str | None) -> str:
    """The format given, or the one of the file's ending. Raises FtspecError (FTS701)."""
    if given is not None and given != "auto":
        assert given in FORMATS, given
        return given
    found = format_of_name(path.name)
    if found is None:
        raise not_found(
            f"{path}: the ending `{path.suffix}` tells no format",
            f"set `format` to one of {', '.join(FORMATS)}",
        )
    return found


def read_records(path: Path, format: str) -> Iterator[Record]:
    """Raises FtspecError (FTS701) when the file as a whole cannot be read."""
    if format == "parquet":
        yield from _parquet(path)
        return
    with open_text(path) as file:
        if format == "jsonl":
            yield from _jsonl(file)
        elif format == "json":
            yield from _json(file)
        else:
            yield from _csv(file, "\t" if ".tsv" in path.name.lower() else ",")


def table_columns(path: Path, format: str) -> tuple[str, ...]:
    """Sorted names of all columns, read or not; of JSON those of the first hundred records. Raises
    FtspecError (FTS701) as reading does."""
    names: set[str] = set()
    for record in itertools.islice(read_records(path, format), _LOOK_AHEAD):
        if isinstance(record.value, dict):
            names.update(map(str, record.value))
    return tuple(sorted(names))


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """UTF-8 with or without a byte order mark; `.gz` is decompressed; line ends are left as they are.

    What goes wrong while the block reads is raised as FtspecError (FTS701).
    """
    try:
        with _open(path) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise not_found(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise not_found(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start})", "save the file as UTF-8"
        ) from error


def _open(path: Path) -> TextIO:
    opened = gzip.open if path.suffix == ".gz" else open
    return cast("TextIO", opened(path, "rt", encoding="utf-8-sig", newline=""))


def parse_object(text: str) -> dict[str, Any] | str:
    """One JSON object, or the reason why the text is none."""
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except _JsonError as error:
        return str(error)
    except json.JSONDecodeError as error:
        return f"not valid JSON ({error.msg} at column {error.colno})"
    except (RecursionError, ValueError):
        return "not usable JSON (nested too deeply, or a number too long)"
    return value if isinstance(value, dict) else "not a JSON object"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _JsonError(f"the key `{twice}` stands twice")
    return found


def _jsonl(file: TextIO) -> Iterator[Record]:
    for number, line in enumerate(file, start=1):
        text = line.rstrip("\r\n")
        if text.strip():
            yield Record(number, parse_object(text), text[:_EXCERPT_CHARS])


def _json(file: TextIO) -> Iterator[Record]:
    try:
        value = json.load(file, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        yield Record(error.lineno, f"not valid JSON ({error.msg} at column {error.colno})", "")
        return
    except _JsonError as error:
        yield Record(0, str(error), "")
        return
    except RecursionError:
        yield Record(0, "not usable JSON (nested too deeply)", "")
        return
    if not isinstance(value, list):
        yield Record(0, "not a JSON list of objects", "")
        return
    for number, item in enumerate(value, start=1):
        excerpt = json.dumps(item, ensure_ascii=False)[:_EXCERPT_CHARS]
        yield Record(number, item if isinstance(item, dict) else "not a JSON object", excerpt)


def _csv(file: TextIO, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header = next(reader, None)
    if header is None:
        return
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        yield Record(1, f"the column `{twice}` stands twice in the header", "")
        return
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Record(line, f"not valid CSV ({error})", "")
            continue
        if cells is None:
            return
        if not cells:
            continue
        excerpt = delimiter.join(cells).replace("\n", " ")[:_EXCERPT_CHARS]
        if len(cells) != len(header):
            yield Record(line, f"{len(cells)} cells under {len(header)} columns", excerpt)
        else:
            yield Record(line, dict(zip(header, cells, strict=True)), excerpt)


def _parquet(path: Path) -> Iterator[Record]:
    import duckdb

    connection = duckdb.connect()
    try:
        result = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        columns = [column[0] for column in result.description or ()]
        number = 0
        while batch := result.fetchmany(2048):
            for values in batch:
                number += 1
                yield Record(number, dict(zip(columns, values, strict=True)), str(values)[:_EXCERPT_CHARS])
    except duckdb.Error as error:
        raise not_found(f"{path}: {error}") from error
    finally:
        connection.close()
