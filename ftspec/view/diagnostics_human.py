"""Diagnostics for people, as compilers print them: code, place, the line with an underline, the remedy."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.diagnostics.model import Diagnostic, Severity, Span
from ftspec.view.lines import Line, paint
from ftspec.view.safe_text import cell_width, safe, shown

LONGEST_EXCERPT = 110  # cells of a source line that are shown when no width is given
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_GUTTER = "blue"


@dataclass(frozen=True, slots=True)
class _Excerpt:
    text: str
    before: int  # cells before the underline
    under: int  # cells to underline, at least one


def render_human(diagnostics: Sequence[Diagnostic], *, color: bool = False, width: int | None = None) -> str:
    """One block for each finding, and a count when there are several. Ends with a newline unless empty."""
    if not diagnostics:
        return ""
    lines: list[Line] = []
    for item in diagnostics:
        lines.extend(_block(item, width))
        lines.append([])
    if len(diagnostics) > 1:
        lines.append([(_count(diagnostics), "bold")])
    else:
        lines.pop()
    return paint(lines, color=color)


def _count(diagnostics: Sequence[Diagnostic]) -> str:
    parts = []
    for level in Severity:
        number = sum(item.level is level for item in diagnostics)
        if number:
            parts.append(f"{number} {level.value}{'s' if number > 1 else ''}")
    return ", ".join(parts)


def _block(item: Diagnostic, width: int | None) -> list[Line]:
    style = _STYLES[item.level]
    lines: list[Line] = [
        [(f"{item.level.value}[{item.code.id}]", style), (f": {safe(item.summary)}", "bold")],
    ]
    spans = [span for span in (item.primary, *(related.span for related in item.related)) if span is not None]
    gutter = max((len(str(span.line)) for span in spans), default=1)
    detail = safe(item.detail, keep_newlines=True)
    if item.primary is not None:
        lines += _place(item.primary, detail, gutter, width, style)
    elif detail:
        lines += _note("", detail, gutter, width)
    for related in item.related:
        lines += _place(related.span, safe(related.message), gutter, width)
    if item.help:
        lines += _note("help: ", safe(item.help, keep_newlines=True), gutter, width)
    return lines


def _place(span: Span, message: str, gutter: int, width: int | None, style: str = "") -> list[Line]:
    """The primary place where a style is given, else a related one."""
    arrow, mark, style = ("-->", "^", style) if style else (":::", "-", _GUTTER)
    empty = " " * (gutter + 1)
    room = max(30, (width or LONGEST_EXCERPT + gutter + 3) - gutter - 3)
    excerpt = _excerpt(span, room)
    lines: list[Line] = [
        [(" " * gutter + arrow + " ", _GUTTER), (safe(str(span)), "")],
        [(empty + "|", _GUTTER)],
        [(f"{span.line:>{gutter}} | ", _GUTTER), (excerpt.text, "")],
    ]
    marks = " " * excerpt.before + mark * excerpt.under
    first, *rest = message.split("\n") if message else [""]
    beside = room - cell_width(marks) - 1
    if width is None or cell_width(first) <= beside:
        lines.append([(empty + "| ", _GUTTER), (f"{marks} {first}", style)])
    else:
        lines.append([(empty + "| ", _GUTTER), (marks, style)])
        rest = [*_wrapped(first, room), *rest]
    for line in rest:
        lines.extend(
            [(empty + "| ", _GUTTER), (part, style)] for part in _wrapped(line, room if width else None)
        )
    return lines


def _note(label: str, text: str, gutter: int, width: int | None) -> list[Line]:
    lead = " " * gutter + " = "
    room = max(30, width - len(lead) - len(label)) if width else None
    lines: list[Line] = []
    for line in text.split("\n"):
        for part in _wrapped(line, room):
            start = (
                [(lead, _GUTTER), (label, "bold")] if not lines else [(" " * (len(lead) + len(label)), "")]
            )
            lines.append([*start, (part, "")])
    return lines


def _wrapped(text: str, room: int | None) -> list[str]:
    if room is None or cell_width(text) <= room:
        return [text]
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _excerpt(span: Span, room: int) -> _Excerpt:
    """The line, made safe; where it is longer than `room` cells, the part around the column."""
    raw = span.excerpt
    start = min(span.column - 1, len(raw))
    end = len(raw) if span.end_line > span.line else min(span.end_column - 1, len(raw))
    pieces = [shown(character) for character in raw]
    widths = [cell_width(piece) for piece in pieces]
    first, last = 0, len(pieces)
    if sum(widths) > room:
        first = start
        budget = room // 3
        while first > 0 and budget >= widths[first - 1]:
            first -= 1
            budget -= widths[first]
        last, used = first, 0
        while last < len(pieces) and used + widths[last] <= room - 2:
            used += widths[last]
            last += 1
    head, tail = ("…" if first > 0 else ""), ("…" if last < len(pieces) else "")
    under = sum(widths[start : min(max(end, start), last)])
    return _Excerpt(
        text=head + "".join(pieces[first:last]) + tail,
        before=len(head) + sum(widths[first:start]),
        under=max(1, under),
    )
