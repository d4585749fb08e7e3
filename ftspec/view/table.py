"""Tables as text: plain columns for people, CSV and JSON for programs."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ftspec.view.safe_text import cell_width, safe

_GAP = "  "
_NARROWEST = 8
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "HUGEINT")


def render_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[bool] = (),
    width: int | None = None,
) -> str:
    """Columns with a rule below their names. With a `width`, the widest columns give way, and a cell
    that was cut ends in `…`; where even that is not enough, each row becomes a block of its own.
    `right` says which columns hold numbers."""
    cells = [[safe(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(cell_width(row[index]) for row in cells) for index in range(len(columns))]
    if width is not None:
        room = width - len(_GAP) * (len(columns) - 1)
        if sum(min(size, _NARROWEST) for size in widths) > room:
            return _blocks(cells[0], cells[1:], width)
        widths = _shrink(widths, room)
    alignments = [*right, *([False] * (len(columns) - len(right)))]
    lines = [_line(row, widths, alignments) for row in cells]
    return "\n".join([lines[0], _GAP.join("─" * size for size in widths), *lines[1:]]) + "\n"


def render_result(
    columns: Sequence[str],
    types: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    format: str,
    width: int | None = None,
) -> str:
    """The rows of a query. human: a table and a count; csv: RFC 4180; json: one array of objects.

    `rows` hold JSON values. Names that stand twice get `_1`, `_2`, … in JSON objects.
    """
    if format == "json":
        names = _distinct(columns)
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        if not objects:
            return "[]\n"
        lines = ",\n ".join(json.dumps(each, ensure_ascii=False) for each in objects)
        return f"[{lines}]\n"
    if format == "csv":
        target = io.StringIO()
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([["" if value is None else _text(value) for value in row] for row in rows])
        return target.getvalue()
    if not columns:
        return ""
    right = [any(name in type_name for name in _NUMBERS) and "[" not in type_name for type_name in types]
    cells = [["" if value is None else _human(value) for value in row] for row in rows]
    count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}\n"
    return render_table(columns, cells, right=right, width=width) + count


def cut(text: str, width: int) -> str:
    """At most `width` columns; what was cut is marked."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for char in text:
        if cell_width(kept + char) > width - 1:
            break
        kept += char
    return kept + "…"


def _shrink(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all fit, but leave each `_NARROWEST`."""
    widths = list(widths)
    while sum(widths) > room:
        index = widths.index(max(widths))
        others = [size for size in widths if size < widths[index]]
        down_to = max([*others, _NARROWEST])
        ties = widths.count(widths[index])
        step = min(-(-(sum(widths) - room) // ties), max(widths[index] - down_to, 1))
        widths[index] -= step
    return widths


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    label = max(cell_width(name) for name in columns)
    blocks = []
    for number, row in enumerate(rows, start=1):
        lines = [f"── {number} ──"]
        for name, value in zip(columns, row, strict=True):
            text = cut(value, max(width - label - len(_GAP), _NARROWEST))
            lines.append(f"{name}{' ' * (label - cell_width(name))}{_GAP}{text}".rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, size, to_right in zip(row, widths, right, strict=True):
        text = cut(cell, size)
        padding = " " * (size - cell_width(text))
        parts.append(padding + text if to_right else text + padding)
    return _GAP.join(parts).rstrip()


def _distinct(columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for column in columns:
        name, number = column, 0
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _human(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _text(value)
