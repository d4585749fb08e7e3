"""Text with styles, laid out for a width; nothing of a user's text is read as markup."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftspec.view.safe_text import cell_width, safe

if TYPE_CHECKING:
    from rich.console import Console

Part = tuple[str, str]  # (text, style of rich or nothing)
Line = list[Part]

HEADING, QUIET, GOOD, BUSY, WARN = "bold", "dim", "green", "cyan", "yellow"


def wrap(text: str, width: int) -> list[str]:
    """Words of `text` (made safe) in lines of at most `width` cells; longer words are cut in two."""
    lines, current = [], ""
    for word in safe(text).split(" "):
        rest = word
        while rest:
            gap = " " if current else ""
            if cell_width(current + gap + rest) <= width:
                current += gap + rest
                break
            if current:
                lines.append(current)
                current = ""
                continue
            head = rest
            while cell_width(head) > max(width, 1) and len(head) > 1:
                head = head[:-1]
            lines.append(head)
            rest = rest[len(head) :]
    if current or not lines:
        lines.append(current)
    return lines


def labelled(label: str, text: str, *, width: int, label_width: int, style: str = "") -> list[Line]:
    """`  label   text`, the text wrapped under itself."""
    room = max(width - label_width - 2, 16)
    rows = wrap(text, room)
    lines: list[Line] = []
    for index, row in enumerate(rows):
        head = f"  {label}" if index == 0 else "  "
        lines.append([(pad(head, label_width + 2), QUIET), (row, style)])
    return lines


def columns(cells: Sequence[Part], widths: Sequence[int], *, width: int, indent: int = 2) -> list[Line]:
    """Cells in columns; the last one is wrapped under itself in what is left of `width`."""
    start = indent + sum(widths)
    rows = wrap(cells[-1][0], max(width - start, 16))
    first: Line = [(" " * indent, "")]
    for (text, style), size in zip(cells[:-1], widths, strict=True):
        first.append((pad(safe(text), size), style))
    lines = [[*first, (rows[0], cells[-1][1])]]
    lines += [[(" " * start, ""), (row, cells[-1][1])] for row in rows[1:]]
    return lines


def pad(text: str, width: int) -> str:
    """At least one blank follows a text that is as wide as its column."""
    return text + " " * max(width - cell_width(text), 1 if width else 0)


def paint(lines: Sequence[Line], *, color: bool) -> str:
    """The lines as text, with ANSI colours if asked; ends with a newline."""
    if not color:
        return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=10_000, no_color=False)
    for line in lines:
        text = Text.assemble(*line)
        text.rstrip()
        console.print(text, soft_wrap=True, highlight=False)
    return out.getvalue()


def new_console(out: io.StringIO, *, width: int, color: bool) -> "Console":
    """A console of rich that lays out for `width` columns, and reads no markup in anybody's text."""
    from rich.console import Console

    return Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
    )
