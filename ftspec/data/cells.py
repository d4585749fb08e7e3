"""Read one value of a record, or say what is wrong with it."""

import difflib
import json
from typing import Any

from ftspec.data.rows import is_encodable
from ftspec.data.table_files import Record
from ftspec.diagnostics.codes import MISSING_COLUMN
from ftspec.diagnostics.model import Diagnostic, FtspecError


class RowError(ValueError):
    """Why a record is no row; a source turns it into a `RowFault` with its place."""


def check_columns(
    records: list[Record], wanted: list[tuple[str, str]], label: str, about: tuple[str, ...] = ("roles",)
) -> None:
    """Raise FtspecError (FTS704) for each (role, column) that none of the records has; `about` names the
    key of the source under which the roles stand. Records that are no objects tell nothing."""
    columns: dict[str, None] = {}
    for record in records:
        if isinstance(record.value, dict):
            columns.update(dict.fromkeys(record.value))
    if not columns:
        return
    missing = [(role, column) for role, column in wanted if column not in columns]
    if missing:
        raise FtspecError(*(_missing(label, role, column, list(columns), about) for role, column in missing))


def _missing(label: str, role: str, column: str, columns: list[str], about: tuple[str, ...]) -> Diagnostic:
    close = difflib.get_close_matches(column, columns, n=1)
    have = ", ".join(f"`{name}`" for name in columns[:20])
    return Diagnostic(
        code=MISSING_COLUMN,
        detail=f"{label}: no column `{column}` for the role `{role}`; the file has {have}",
        help=f"did you mean `{close[0]}`?" if close else f"set `roles.{role}` to one of them",
        about=(*about, role),
    )


def value_of(record: dict[str, Any], column: str) -> Any:
    value = record.get(column)
    if value is None:
        raise RowError(f"`{column}` is missing")
    return value


def checked(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"`{column}` is not text")
    if not value.strip():
        raise RowError(f"`{column}` is empty")
    if not is_encodable(value):
        raise RowError(f"`{column}` holds half of a surrogate pair")
    return value


def text_of(record: dict[str, Any], column: str) -> str:
    return checked(value_of(record, column), column)


def texts_of(record: dict[str, Any], column: str, *, empty: bool) -> tuple[str, ...]:
    """One text or a list of them; `empty` allows a list without any."""
    value = value_of(record, column)
    values = value if isinstance(value, list) else [value]
    if not values and not empty:
        raise RowError(f"`{column}` is an empty list")
    return tuple(checked(item, column) for item in values)


def word_of(record: dict[str, Any], column: str) -> str:
    """A text or an integer, as text."""
    value = value_of(record, column)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowError(f"`{column}` is neither text nor an integer")
    return checked(str(value), column)


def slices_of(record: dict[str, Any], names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The named columns that the record has, as text."""
    found = tuple((name, str(record[name])) for name in names if record.get(name) is not None)
    for name, value in found:
        if not is_encodable(value):
            raise RowError(f"`{name}` holds half of a surrogate pair")
    return found


def list_of(record: dict[str, Any], column: str) -> list[Any]:
    """A list, or JSON text that holds one (a table column cannot always nest). It is plain JSON."""
    value = value_of(record, column)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowError(f"`{column}` is text that is no JSON list") from None
    if not isinstance(value, list):
        raise RowError(f"`{column}` is no list")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise RowError(f"`{column}` holds half of a surrogate pair") from None
    except (TypeError, ValueError, RecursionError):
        raise RowError(f"`{column}` holds values that JSON has not") from None
    return value
