"""Formats that show what is wrong, and where, in place of a result."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from ftspec.diagnostics.model import Diagnostic, Span

FINDINGS = ("github", "sarif")


def show_findings(found: Iterable[Diagnostic], format_: str) -> None:
    """Findings on stdout, in a form that points at lines of specs."""
    from ftspec.view.diagnostics import render_diagnostics

    text = render_diagnostics(_placed(found), format_).rstrip("\n")
    if text:
        click.echo(text)


def _placed(found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """With files as the repository names them, wherever below it the command runs: GitHub knows no other name."""
    root = _root()
    for each in found:
        primary = None if each.primary is None else _below(each.primary, root)
        related = tuple(replace(other, span=_below(other.span, root)) for other in each.related)
        yield replace(each, primary=primary, related=related)


def _root() -> Path:
    """The checkout of a workflow, which may hold several projects; else the repository, or the folder here."""
    here = Path.cwd()
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace and here.is_relative_to(Path(workspace).resolve()):
        return Path(workspace).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _below(span: Span, root: Path) -> Span:
    """A place in no file, such as one of the command line, stays what it is."""
    path = Path(os.path.abspath(span.path))  # noqa: PTH100 - links stay
    if span.path.startswith("--") or not path.exists():
        return span
    inside = next((each for each in (path, path.resolve()) if each.is_relative_to(root)), None)
    return span if inside is None else replace(span, path=inside.relative_to(root).as_posix())
