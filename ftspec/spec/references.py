"""`${env:NAME}`: a reference to a secret, checked here and resolved nowhere in a spec or a plan."""

import re
from collections.abc import Iterator
from typing import Any

from ftspec.diagnostics.codes import BAD_VALUE, REFERENCE_KEPT
from ftspec.diagnostics.model import Diagnostics
from ftspec.source.document import Document

REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_RESOLVED = {("path",), ("synthesize", "api_key")}
_ATTEMPT = re.compile(r"\$\{\s*env\b[^}\n]{0,60}\}?", re.IGNORECASE)


def check(document: Document, found: Diagnostics) -> None:
    """Malformed references, and well-formed ones at keys that nothing resolves them for."""
    for path, text in _texts(document.tree, ()):
        if "${" not in text:
            continue
        for attempt in _ATTEMPT.finditer(text):
            if REFERENCE.fullmatch(attempt[0]) is None:
                found.add(
                    BAD_VALUE,
                    f"`{attempt[0]}` is not a reference to an environment variable",
                    primary=document.span(path),
                    help="write `${env:NAME}`, with letters, digits and `_` in the name",
                )
            elif path[0] != "metadata" and not _is_source(path):
                found.add(
                    REFERENCE_KEPT,
                    f"`{attempt[0]}` is taken as it is written",
                    primary=document.span(path),
                    help="write the value, or give it by `--set`",
                )


def _is_source(path: tuple[str | int, ...]) -> bool:
    """`data.train.0.path`, `….synthesize.api_key`: resolved when they are used, and not written into the plan."""
    return path[:2] in {("data", "train"), ("data", "evaluation")} and path[3:] in _RESOLVED


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _texts(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, (*path, index))
