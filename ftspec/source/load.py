"""The door of this room: a path becomes a document."""

from collections.abc import Sequence
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.source.document import Document
from ftspec.source.overlay import Reader, TextOf, read_text
from ftspec.source.overrides import apply_override

__all__ = ["Document", "load_document"]


def load_document(
    path: Path, overrides: Sequence[str] = (), *, text_of: TextOf = read_text, label: str = ""
) -> tuple[Document | None, Diagnostics]:
    """Reads a YAML 1.2 file, what it `extends`, and the `--set` overrides on top, in this order. Files of
    another time are read by `text_of`; `label`, such as `HEAD~1:`, stands before their paths in messages.

    None when the text cannot be read. A document that could be read in spite of faults (a duplicate
    key, an anchor) is returned as `damaged`, so that its other faults can be found in the same go.
    """
    found = Diagnostics()
    root = Reader(found, text_of, label).spec(Path(path))
    if root is None:
        return None, found
    for number, override in enumerate(overrides, start=1):
        root = apply_override(root, override, number, found)
    return Document(Path(path), root, damaged=found.has_errors), found
