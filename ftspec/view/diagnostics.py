"""Diagnostics as text, in one of four formats."""

from collections.abc import Iterable

from ftspec.diagnostics.code import Code
from ftspec.diagnostics.model import Diagnostic

FORMATS = ("human", "json", "sarif", "github")


def render_diagnostics(
    diagnostics: Iterable[Diagnostic], format: str, color: bool = False, width: int | None = None
) -> str:
    """`format` is one of FORMATS. `color` and `width` (columns to fit into) are for people only."""
    items = tuple(diagnostics)
    match format:
        case "human":
            from ftspec.view.diagnostics_human import render_human

            return render_human(items, color=color, width=width)
        case "json":
            from ftspec.view.diagnostics_json import render_json

            return render_json(items)
        case "sarif":
            from ftspec.view.diagnostics_sarif import render_sarif

            return render_sarif(items)
        case "github":
            from ftspec.view.diagnostics_github import render_github

            return render_github(items)
    raise AssertionError(f"no such format: {format}")


def render_code(code: Code) -> str:
    """What `ftspec explain FTS203` prints."""
    return f"{code.id} ({code.severity}): {code.summary}\n\n{code.explanation.strip()}\n"
