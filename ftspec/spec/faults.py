"""The two faults that most rules between keys find."""

from ftspec.diagnostics.code import Code
from ftspec.diagnostics.codes import BAD_VALUE, KEY_NOT_READ
from ftspec.diagnostics.model import Diagnostics
from ftspec.source.document import Document

Path = tuple[str | int, ...]


def given(document: Document, path: Path) -> bool:
    """Did the user write a value here? `null` stands for the default."""
    if not document.has(path):
        return False
    value: object = document.tree
    for step in path:
        value = value[step]  # type: ignore[index]
    return value is not None


def not_read(
    found: Diagnostics, document: Document, path: Path, detail: str, help: str = "remove the key"
) -> None:
    _add(found, document, KEY_NOT_READ, path, detail=detail, help=help, key=True)


def bad_value(found: Diagnostics, document: Document, path: Path, detail: str, help: str = "") -> None:
    _add(found, document, BAD_VALUE, path, detail=detail, help=help, key=False)


def _add(
    found: Diagnostics, document: Document, code: Code, path: Path, *, detail: str, help: str, key: bool
) -> None:
    found.add(code, detail, primary=document.span(path, key=key), help=help)
