"""What a spec file says: plain values, and the place of each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.diagnostics.model import Span
from ftspec.source.node import Node, find_node
from ftspec.source.node import Path as TreePath


@dataclass(slots=True)
class Document:
    """A file with its overlays and overrides applied.

    `tree` holds dict (keys are text), list and YAML 1.2 scalars. `damaged` says that the text had
    faults that were reported: it can be checked for more, but must not be used.
    """

    path: Path
    root: Node
    damaged: bool = False
    tree: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.root.value, dict)
        self.tree = self.root.plain()

    @property
    def folder(self) -> Path:
        """Relative paths of the spec start here, also those that came from an overlay."""
        return self.path.parent

    def has(self, path: TreePath) -> bool:
        """Is there a value at exactly this path? `null` is one."""
        return find_node(self.root, path)[1] == len(path)

    def span(self, path: TreePath, key: bool = False) -> Span | None:
        """Place of the value at `path` (of its key, if asked), or of the nearest ancestor that exists."""
        node, depth = find_node(self.root, path)
        if key or depth < len(path):
            return node.key_span() or node.span()
        return node.span()

    def is_known(self, path: TreePath) -> bool:
        """False where a value on the way could not be read, and has been reported."""
        return all(find_node(self.root, path[:depth])[0].known for depth in range(len(path) + 1))
