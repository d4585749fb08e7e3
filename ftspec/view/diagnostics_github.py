"""Diagnostics as workflow commands of GitHub Actions, which become annotations in a pull request."""

from collections.abc import Sequence

from ftspec.diagnostics.model import Diagnostic, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """One line for each finding."""
    return "".join(_line(item) + "\n" for item in diagnostics)


def _line(item: Diagnostic) -> str:
    properties: dict[str, str] = {}
    span = item.primary
    message = [part for part in (item.detail, f"help: {item.help}" if item.help else "") if part]
    if span is not None and span.path.startswith("--"):
        message.insert(0, f"{span.path} {span.excerpt}")
    elif span is not None:
        properties = {"file": span.path, "line": str(span.line), "endLine": str(span.end_line)}
        if span.end_line == span.line:  # columns are refused for ranges over several lines
            properties |= {"col": str(span.column), "endColumn": str(max(span.column, span.end_column - 1))}
    for related in item.related:
        message.append(f"{related.span}: {related.message}")
    properties["title"] = f"{item.code.id}: {item.summary}"
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_COMMANDS[item.level]} {written}::{_data(chr(10).join(message) or item.summary)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
