"""The tree between text and plain values: every value knows the place it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftspec.diagnostics.model import Span
from ftspec.source.scalars import Scalar
from ftspec.source.text import SourceText

Path = Sequence[str | int]


@dataclass(slots=True, kw_only=True)
class Node:
    """One value. `start` and `end` are offsets into `text`; `key` are those of the key it stands under.

    `known` is False where the value could not be read (an alias, a tagged value): such a place has
    been reported, and nobody should judge its content.
    """

    value: "Scalar | dict[str, Node] | list[Node]"
    text: SourceText
    start: int
    end: int
    key: tuple[int, int] | None = None
    key_text: SourceText | None = None
    flow: bool = False
    known: bool = True

    def plain(self) -> Any:
        """The value as dict, list or scalar. Depth is bounded by the parser."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def key_span(self) -> Span | None:
        if self.key is None:
            return None
        return (self.key_text or self.text).span(*self.key)

    def span(self) -> Span:
        """Where the value stands. The end of a block mapping or list runs into what follows, so its
        key is shown instead, or its first line where it has none."""
        is_block = isinstance(self.value, dict | list) and not self.flow
        if not is_block and self.end > self.start:
            return self.text.span(self.start, self.end)
        if (span := self.key_span()) is not None:
            return span
        if isinstance(self.value, dict) and self.value:
            first = next(iter(self.value.values())).key_span()
            if first is not None:
                return first
        return self.text.span(self.start, self.start + 1)


def find_node(root: Node, path: Path) -> tuple[Node, int]:
    """The node at `path`, or its nearest ancestor; and how many steps of the path were walked."""
    node = root
    for depth, step in enumerate(path):
        child: Node | None = None
        if isinstance(node.value, dict) and isinstance(step, str):
            child = node.value.get(step)
        elif isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
            child = node.value[step]
        if child is None:
            return node, depth
        node = child
    return node, len(path)
