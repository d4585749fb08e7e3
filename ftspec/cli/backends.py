"""`ftspec backends`"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ftspec.cli.common import echo_json, fail, find_project, format_option, project_option, report, tell

if TYPE_CHECKING:
    from ftspec.driver.backends import InstallProgress
    from ftspec.target.model import Target


@click.group("backends")
def backends_command() -> None:
    """List the backends, and give each an environment of its own: their versions exclude each other.

    A run takes the interpreter that you named, else the environment that was installed for the project,
    else this interpreter.

    \b
    Examples:
      ftspec backends list
      ftspec backends install unsloth
      ftspec backends use unsloth --python ~/unsloth/bin/python
      ftspec backends remove unsloth
    """


@backends_command.command("list", short_help="Show where each backend runs.")
@format_option("human", "json")
@project_option
def list_command(format_: str, project_folder: Path | None) -> None:
    """Show where each backend runs, with which versions, or how to get it."""
    from ftspec.target.environments import find_environment, list_environments
    from ftspec.view.backends import BackendEnvironments, backend_document, render_backends

    state = find_project(project_folder).state
    backends = [
        BackendEnvironments(
            target=target,
            environments=list_environments(state, target),
            chosen=find_environment(state, target),
        )
        for target in _targets()
    ]
    if format_ == "json":
        echo_json([backend_document(backend) for backend in backends])
    else:
        click.echo(render_backends(backends), nl=False)


@backends_command.command("install", short_help="Make an environment from exact versions.")
@click.argument("name")
@click.option("--again", is_flag=True, help="Also where it is there already.")
@format_option("human", "json")
@project_option
def install_command(name: str, again: bool, format_: str, project_folder: Path | None) -> None:
    """Make an environment below .ftspec/ from the exact versions that the backend names.

    It takes minutes and gigabytes, and is complete or absent. Nothing is installed on the system; pip's
    settings, such as PIP_INDEX_URL, hold. Its words are kept beside the environment.
    """
    from ftspec.driver.backends import install_backend, install_log
    from ftspec.view.backends import environment_document, where

    project, target = find_project(project_folder), _target(name)
    with _progress(format_) as observe:
        environment = install_backend(project, target, observe=observe, again=again)
    log = install_log(project, target)
    if format_ == "json":
        echo_json({"name": target.name, **environment_document(environment), "log": str(log)})
    else:
        click.echo(f"{target.name}, {where(environment)}")


@backends_command.command("use", short_help="Name an interpreter of your own.")
@click.argument("name")
@click.option(
    "--python",
    "interpreter",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The interpreter; it must have the backend's packages.",
)
@format_option("human", "json")
@project_option
def use_command(name: str, interpreter: Path, format_: str, project_folder: Path | None) -> None:
    """Run a backend in an interpreter of your own, which ftspec never changes."""
    from ftspec.driver.backends import use_interpreter
    from ftspec.view.backends import environment_document, where

    # Not resolved: the interpreter of a virtual environment is a link, and known by its own place.
    environment = use_interpreter(find_project(project_folder), _target(name), interpreter.absolute())
    if format_ == "json":
        echo_json({"name": name, **environment_document(environment)})
    else:
        click.echo(f"{name}, {where(environment)}")


@backends_command.command("remove", short_help="Delete environments; forget a named interpreter.")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@format_option("human", "json")
@project_option
def remove_command(name: str, yes: bool, format_: str, project_folder: Path | None) -> None:
    """Delete what was installed for a backend, and forget the interpreter that you named, which stays."""
    from ftspec.driver.backends import remove_backend

    project, target = find_project(project_folder), _target(name)
    if not yes:
        click.confirm(f"Remove the environments of {name} from {project.state}?", abort=True, err=True)
    gone = remove_backend(project, target, notify=tell)
    if format_ == "json":
        echo_json({"name": name, "removed": [str(path) for path in gone]})
    elif gone:
        click.echo("\n".join(f"removed {path}" for path in gone))
    else:
        click.echo(f"{name} has no environment here", err=True)


def _targets() -> "tuple[Target, ...]":
    from ftspec.target.load import load_targets

    targets, found = load_targets()
    report(found)
    return targets


def _target(name: str) -> "Target":
    targets = {target.name: target for target in _targets()}
    if name not in targets:
        _unknown(name, tuple(targets))
    return targets[name]


def _unknown(name: str, known: tuple[str, ...]) -> NoReturn:
    from difflib import get_close_matches

    from ftspec.diagnostics import codes
    from ftspec.diagnostics.model import Diagnostic

    close = get_close_matches(name, known, n=1)
    fail(
        [
            Diagnostic(
                code=codes.NO_BACKEND,
                detail=f"{name!r} is not among the known backends: {', '.join(known) or 'none'}",
                help=f"did you mean `{close[0]}`?" if close else "`ftspec backends list` shows them",
            )
        ]
    )


@contextmanager
def _progress(format_: str) -> "Iterator[Callable[[InstallProgress], None]]":
    """A bar on a terminal, a line for each step elsewhere; nothing where a program reads the result."""
    if format_ == "json":
        yield lambda progress: None
        return
    if not sys.stderr.isatty():
        told: set[str] = set()

        def tell(progress: "InstallProgress") -> None:
            if progress.step not in told:
                told.add(progress.step)
                click.echo(f"{_STEPS[progress.step]} ({progress.total} packages)", err=True)

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[package]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", package="")

        def draw(progress: "InstallProgress") -> None:
            # While pip unpacks it says nothing: a bar without an end is honest.
            total = None if progress.step == "installing" else progress.total
            bar.update(
                task,
                description=_STEPS[progress.step],
                completed=progress.done,
                total=total,
                package=progress.package,
            )

        yield draw


_STEPS = {
    "creating": "making an environment",
    "collecting": "fetching packages",
    "installing": "unpacking packages",
}
