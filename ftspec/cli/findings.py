"""Formats that show what is wrong, and where, in place of a result."""

from collections.abc import Iterable

import click

from ftspec.diagnostics.model import Diagnostic

FINDINGS = ("github", "sarif")


def show_findings(found: Iterable[Diagnostic], format_: str) -> None:
    """Findings on stdout, in a form that points at lines of specs."""
    from ftspec.view.diagnostics import render_diagnostics

    text = render_diagnostics(found, format_).rstrip("\n")
    if text:
        click.echo(text)
