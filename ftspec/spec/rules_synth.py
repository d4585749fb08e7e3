"""Rules of `synthesize` sections. What may be a secret is never repeated in a message, nor its line shown."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ftspec.diagnostics.codes import BAD_VALUE
from ftspec.diagnostics.model import Diagnostics, Span
from ftspec.source.document import Document
from ftspec.spec.references import REFERENCE

Path = tuple[str | int, ...]


def check(document: Document, found: Diagnostics) -> None:
    for path, section in _sections(document.tree, ()):
        key = section.get("api_key")
        if isinstance(key, str) and REFERENCE.fullmatch(key) is None:
            found.add(
                BAD_VALUE,
                f"`{path[-1]}.api_key` is not a reference to an environment variable",
                primary=_hidden(document.span((*path, "api_key"))),
                help="put the key into a variable, and write `api_key: ${env:NAME}`; a key that stood in a "
                "file should be replaced",
            )
        endpoint = section.get("endpoint")
        if isinstance(endpoint, str) and (fault := _url_fault(endpoint)):
            found.add(
                BAD_VALUE,
                f"`{path[-1]}.endpoint` {fault}",
                primary=_hidden(document.span((*path, "endpoint"))),
                help="write `ollama`, `openai`, or a URL such as `http://localhost:8000`",
            )


def _url_fault(written: str) -> str:
    """What is wrong with an endpoint; "" for nothing."""
    if written in ("", "ollama", "openai"):
        return ""
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        return "is not a URL that can be read"
    if "@" in parts.netloc:
        return "holds a name or password; keys are given by `api_key`"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is neither `ollama`, nor `openai`, nor an http or https URL"
    if parts.query or parts.fragment:
        return "has a part behind `?` or `#`"
    return ""


def _hidden(span: Span | None) -> Span | None:
    """The place alone."""
    if span is None:
        return None
    shown = span.excerpt[: span.column - 1] + "…"
    return replace(span, excerpt=shown, end_line=span.line, end_column=span.column + 1)


def _sections(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, dict):
        for name, child in value.items():
            if name == "synthesize" and isinstance(child, dict) and path[:1] == ("data",):
                yield (*path, name), child
            yield from _sections(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _sections(child, (*path, index))
