"""What commands share: options, the two output streams, and the way from diagnostics to the exit."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ftspec.cli.exits import exit_code
from ftspec.diagnostics.model import Diagnostic
from ftspec.store.project import Project

F = TypeVar("F", bound=Callable[..., Any])

MIN_WIDTH, MAX_WIDTH = 60, 120


def project_option(function: F) -> F:
    return click.option(
        "--project",
        "project_folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder that holds .ftspec; default: found from the working directory.",
    )(function)


def set_option(function: F) -> F:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Override one value of the spec, e.g. train.learning_rate=3e-5. May be repeated.",
    )(function)


def hardware_option(function: F) -> F:
    return click.option(
        "--hardware",
        metavar="FILE|NAME",
        help="Plan for another machine: a named profile (`ftspec doctor` lists them) or a saved one.",
    )(function)


def format_option(*formats: str) -> Callable[[F], F]:
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output format.",
        callback=_remember_format,
    )


_FORMAT = "ftspec.format"


def _remember_format(context: click.Context, _: click.Parameter, value: str) -> str:
    """So that whatever is told later, by whichever function, is told in the form that was asked for."""
    context.meta[_FORMAT] = value
    return value


def asked_format() -> str:
    """`--format` of the command that runs; human where it has none."""
    context = click.get_current_context(silent=True)
    return "human" if context is None else str(context.meta.get(_FORMAT, "human"))


def terminal_width() -> int:
    """Columns to lay out for: those of the terminal within reason, or 100 in a pipe."""
    return max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size((100, 24)).columns))


def wants_color(stream: Any) -> bool:
    """By the conventions of no-color.org and FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def report(diagnostics: Iterable[Diagnostic], *, format_: str | None = None) -> None:
    """Write findings to stderr, as JSON where `--format json` was given; machine formats of `validate` go to
    stdout instead, by its own hand."""
    from ftspec.view.diagnostics import render_diagnostics

    items = tuple(diagnostics)
    if not items:
        return
    text = render_diagnostics(
        items,
        "json" if (format_ or asked_format()) == "json" else "human",
        color=wants_color(sys.stderr),
        width=terminal_width(),
    )
    click.echo(text.rstrip("\n"), err=True)


def tell(found: Diagnostic) -> None:
    """One finding at the moment it is made, such as a lease that is taken over."""
    report((found,))


def fail(diagnostics: Iterable[Diagnostic], *, format_: str | None = None) -> NoReturn:
    """Report and leave with the exit code that the diagnostics ask for."""
    items = tuple(diagnostics)
    report(items, format_=format_)
    raise SystemExit(exit_code(items))


def echo_json(value: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def write_file(path: Path, text: str) -> None:
    """Replace a file that the user named, in one step; it keeps its permissions, and a link stays one. A
    place that cannot be written is the user's fault."""
    from ftspec.store.files import write_atomically

    try:
        target = path.resolve()
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
        write_atomically(target, text, mode=mode)
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror or str(error)) from error


def find_project(folder: Path | None) -> Project:
    """The project of `--project`, or the one around the working directory."""
    if folder is None:
        return Project.find(Path.cwd())
    if not folder.is_dir():
        raise click.UsageError(f"--project: there is no folder {str(folder)!r}")
    return Project(folder.absolute())
