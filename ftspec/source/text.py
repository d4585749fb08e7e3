"""A source text with its lines: turns offsets into spans."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from ftspec.diagnostics.model import Span

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(slots=True, kw_only=True)
class SourceText:
    """`path` is what diagnostics show. `first_line` lets every `--set` count as a line of its own."""

    path: str
    text: str
    first_line: int = 1
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    def line_of(self, offset: int) -> int:
        """Index of the line (from 0) that holds `offset`."""
        return bisect_right(self._starts, offset) - 1

    def line_text(self, line: int) -> str:
        start = self._starts[line]
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` to before `end`; at least one character wide."""
        start = min(start, len(self.text))
        end = max(min(end, len(self.text)), start)
        line = self.line_of(start)
        last = self.line_of(end)
        column = start - self._starts[line] + 1
        end_column = end - self._starts[last] + 1
        if end == start:
            end_column += 1
        return Span(
            path=self.path,
            line=line + self.first_line,
            column=column,
            end_line=last + self.first_line,
            end_column=end_column,
            excerpt=self.line_text(line),
        )
