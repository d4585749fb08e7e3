"""`ftspec history`"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import echo_json, find_project, format_option, project_option, report, terminal_width
from ftspec.cli.environment import environment_option
from ftspec.cli.exits import exit_code
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError

if TYPE_CHECKING:
    from ftspec.store.promotion import Promotion


@click.command("history")
@click.argument("name", required=False)
@environment_option("--environment", help="Only this one.")
@format_option("human", "json")
@project_option
def history_command(
    name: str | None, environment: str | None, format_: str, project_folder: Path | None
) -> None:
    """Show which versions of a model stood in which environment, by what evidence, and who moved them.

    `*` marks what an environment points to now.

    \b
    Examples:
      ftspec history support-search
      ftspec history --environment production --format json
    """
    from ftspec.store.environments import read_pointers
    from ftspec.store.history import history
    from ftspec.store.registry import find_model_version
    from ftspec.view.environments import history_document, render_history

    project = find_project(project_folder)
    known, found = history(project, name)
    chosen = [each for each in known if environment in (None, each.environment)]
    report((*found, *_elsewhere(chosen, known)), format_=format_)
    current: frozenset[str] = frozenset()
    with suppress(FtspecError):  # it was told
        current = frozenset(each.id for each in read_pointers(project).values())
    states = {}
    for each in chosen:
        model, _ = find_model_version(project, each.name, each.version)
        if model is None:
            states[each.id] = "gone"
        elif model.digest != each.digest:
            states[each.id] = "others"
    if format_ == "json":
        echo_json(history_document(chosen, current, states))
    elif chosen:
        for number, each_name in enumerate(names := sorted({each.name for each in chosen})):
            if len(names) > 1:
                click.echo(("\n" if number else "") + each_name)
            mine = [each for each in chosen if each.name == each_name]
            click.echo(render_history(mine, current, states, width=terminal_width()), nl=False)
    elif not found.has_errors:
        place = f" to {environment}" if environment else ""
        said = f"`{name}` was not promoted" if name else "nothing was promoted"
        click.echo(f"{said}{place} yet", err=True)
    raise SystemExit(exit_code(found))


def _elsewhere(chosen: Iterable["Promotion"], known: tuple["Promotion", ...]) -> Iterator[Diagnostic]:
    from ftspec.store.history import is_broken_off

    for each in chosen:
        if is_broken_off(each, known):
            before = f"{each.environment}: what was there before {each.model}"
            yield Diagnostic(code=codes.HISTORY_ELSEWHERE, detail=before)
