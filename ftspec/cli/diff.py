"""`ftspec diff`"""

import sys
from pathlib import Path

import click

from ftspec.cli.common import (
    echo_json,
    fail,
    find_project,
    format_option,
    hardware_option,
    project_option,
    report,
    terminal_width,
    wants_color,
)
from ftspec.cli.exits import CHANGES, DONE, exit_code
from ftspec.plan.difference import Difference, SpecChanges
from ftspec.store.project import Project


@click.command("diff")
@click.argument("sides", nargs=-1, metavar="[A [B]]")
@click.option(
    "--since",
    metavar="REVISION",
    help="Compare every spec (or those named) with what it was where this branch left REVISION.",
)
@click.option("--rules", is_flag=True, help="Print the categories, and the rule of every key.")
@hardware_option
@format_option("human", "json", "markdown")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when something changed, 0 when not.")
@project_option
def diff_command(
    sides: tuple[str, ...],
    since: str | None,
    rules: bool,
    hardware: str | None,
    format_: str,
    detailed_exitcode: bool,
    project_folder: Path | None,
) -> None:
    """What a change costs: what of A runs again to get B, by meaning, not by text.

    A side is a spec, a plan file, a run, a lock, or a file of a git revision (HEAD~1:specs/x.yaml). A spec
    followed by @NAME is planned for that machine; @NAME alone is A on another machine. Without B, A is compared
    with what it was in HEAD.

    \b
    Examples:
      ftspec diff specs/pairs.yaml                          # not committed yet
      ftspec diff main:specs/pairs.yaml specs/pairs.yaml
      ftspec diff specs/pairs.yaml@laptop-cpu @h100x8       # two machines
      ftspec diff reviewed.ftplan specs/pairs.yaml --detailed-exitcode
      ftspec diff --since origin/main --format markdown
    """
    if rules:
        _show_rules(format_)
        return
    project = find_project(project_folder)
    if since is not None:
        from ftspec.driver.diff import diff_since

        found, here = diff_since(
            since, tuple(Path(side) for side in sides), project=project, hardware_name=hardware
        )
        if found is None:
            fail(here, format_=format_)
        report(here, format_=format_)
        _show_all(found, since, format_)
        code = exit_code(here)
        raise SystemExit(CHANGES if code == DONE and detailed_exitcode and not found.is_empty else code)
    if not 1 <= len(sides) <= 2:
        raise click.UsageError("name two sides, or one to compare with HEAD, or --since REVISION")
    from ftspec.driver.diff import diff

    old, new = sides if len(sides) == 2 else (_in_head(sides[0], project), sides[0])
    one, here = diff(old, new, project=project, hardware_name=hardware)
    if one is None or any(each.is_error for each in here):
        fail(here, format_=format_)
    report(here, format_=format_)
    _show(one, format_)
    raise SystemExit(CHANGES if detailed_exitcode and not one.is_empty else DONE)


def _in_head(side: str, project: Project) -> str:
    from ftspec.driver.git import find_repository
    from ftspec.driver.sides import split_machine

    subject, machine = split_machine(side)
    path = Path(subject)
    if not path.is_file():
        raise click.UsageError(_not_in_head(side, subject, path, project))
    repository, found = find_repository(path.absolute().parent)
    inside = None if repository is None else repository.inside(path)
    if inside is None:
        fail(found)
    return f"HEAD:{inside}" + (f"@{machine}" if machine else "")


def _not_in_head(side: str, subject: str, path: Path, project: Project) -> str:
    if not subject:
        return f"{side!r} names a machine, but no spec: write specs/x.yaml{side}"
    if (project.runs / subject / "plan.json").is_file():
        return f"{subject!r} is a run, which no commit holds: name a second side to compare it with"
    if path.is_dir():
        return (
            f"{subject!r} is a folder: name one file of it; `ftspec diff --since REVISION` compares all specs"
        )
    return (
        f"there is no file {subject!r}: name a second side to compare it with; of what was deleted, "
        "`ftspec diff --since REVISION` tells"
    )


def _show(found: Difference, format_: str) -> None:
    if format_ == "json":
        from ftspec.view.diff_json import diff_json

        echo_json(diff_json(found))
    elif format_ == "markdown":
        from ftspec.view.diff_markdown import diff_markdown

        click.echo(diff_markdown(found).rstrip("\n"))
    else:
        from ftspec.view.diff_human import render_diff

        click.echo(render_diff(found, width=terminal_width(), color=wants_color(sys.stdout)).rstrip("\n"))


def _show_all(found: SpecChanges, since: str, format_: str) -> None:
    if format_ == "json":
        from ftspec.view.diff_json import spec_changes_json

        echo_json({"since": since, **spec_changes_json(found)})
    elif format_ == "markdown":
        from ftspec.view.diff_markdown import spec_changes_markdown

        click.echo(spec_changes_markdown(found, since).rstrip("\n"))
    else:
        from ftspec.view.diff_human import render_spec_changes

        text = render_spec_changes(found, since, width=terminal_width(), color=wants_color(sys.stdout))
        click.echo(text.rstrip("\n"))


def _show_rules(format_: str) -> None:
    if format_ == "json":
        from ftspec.view.diff_json import rules_json

        echo_json(rules_json())
        return
    from ftspec.view.diff_human import render_rules

    click.echo(render_rules(width=terminal_width(), color=wants_color(sys.stdout)).rstrip("\n"))
