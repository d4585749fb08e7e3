"""`ftspec apply`"""

import json
import sys
from pathlib import Path

import click

from ftspec.cli.common import (
    fail,
    find_project,
    format_option,
    project_option,
    report,
    set_option,
    tell,
    terminal_width,
    wants_color,
)
from ftspec.cli.exits import OF_VERDICT
from ftspec.cli.plan import show_plan
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation
from ftspec.plan.contract import Contract
from ftspec.plan.model import Action
from ftspec.store.project import Project


@click.command("apply")
@click.argument("spec_or_plan", metavar="SPEC|PLANFILE", type=click.Path(path_type=Path))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--locked/--no-locked",
    default=None,
    help="Refuse when ftspec.lock and what is here disagree; default for a spec in CI where there is a lock. "
    "Without it a saved plan runs as it was reviewed, and a note says where the lock differs.",
)
@set_option
@format_option("human", "json")
@project_option
def apply_command(
    spec_or_plan: Path,
    yes: bool,
    locked: bool | None,
    overrides: tuple[str, ...],
    format_: str,
    project_folder: Path | None,
) -> None:
    """Run a spec, or exactly a saved plan: train, measure against the base, judge, register.

    Stopped runs go on from their last checkpoint. Unchanged stages are reused. Exit codes: 0 all gates
    passed (or nothing to do), 3 the saved plan is stale, 4 another apply runs, 5 a gate failed, 6 it
    cannot be told.

    \b
    Examples:
      ftspec apply specs/quickstart.yaml
      ftspec apply change.ftplan --yes               # in CI, the plan that was reviewed
      ftspec apply spec.yaml --yes --format json     # the last line is the result
    """
    from ftspec.driver.apply import apply_plan
    from ftspec.driver.current import moves_of_current
    from ftspec.driver.eject import refuse_emit_only
    from ftspec.spec.canonical import canonical_text
    from ftspec.view.progress import progress_view

    project = find_project(project_folder)
    compiled, contract, found = _compile(spec_or_plan, project, overrides, locked)
    if compiled is None:
        fail(found, format_=format_)
    plan = compiled.plan
    report((*found, *moves_of_current(plan, project)), format_=format_)
    target = next(each for each in compiled.world.targets if each.name == plan.execution.backend)
    refuse_emit_only(target)  # before anything is asked
    if format_ == "human":
        show_plan(plan, "human")
    if any(stage.action is Action.RUN for stage in plan.stages) and not yes:
        _confirm()
    with progress_view(plan, format_=format_, color=wants_color(sys.stderr)) as observe:
        result = apply_plan(
            plan,
            spec=json.loads(canonical_text(compiled.spec)),
            project=project,
            target=target,
            observe=observe,
            purpose=f"ftspec apply {spec_or_plan}",
            contract=contract,
            machine=compiled.runs_on,
            notify=tell,
        )
    if format_ == "json":
        from ftspec.view.result import result_line

        click.echo(result_line(result))
    else:
        from ftspec.view.result import render_result

        text = render_result(
            result, spec_path=str(spec_or_plan), width=terminal_width(), color=wants_color(sys.stdout)
        )
        click.echo("\n" + text.rstrip("\n"))
    raise SystemExit(OF_VERDICT[result.standing])


def _compile(
    path: Path, project: Project, overrides: tuple[str, ...], locked: bool | None
) -> tuple[Compilation | None, Contract | None, Diagnostics]:
    from ftspec.driver.compile import compile_spec
    from ftspec.driver.lock_check import check_lock
    from ftspec.driver.planfile import is_plan_file, read_saved_plan
    from ftspec.driver.stale import check_fresh

    if not is_plan_file(path):
        from ftspec.driver.names import clash_with_current

        compiled, found = compile_spec(path, project=project, overrides=overrides)
        if compiled is not None:
            found.extend(check_lock(compiled, project, locked=locked, here=True))
            found.extend(clash_with_current(compiled, project))
        return (None if found.has_errors else compiled), None, found
    if overrides:
        raise click.UsageError("a saved plan runs as it was reviewed: --set cannot change it")
    saved, found = read_saved_plan(path)
    if saved is None:
        return None, None, found
    compiled, found = check_fresh(saved, project=project)
    if compiled is not None:
        # The lock may say something else by now. A note unless it was asked for: `plan --no-locked` means it so.
        found.extend(check_lock(compiled, project, locked=locked or False, here=compiled.runs_on is None))
    return (None if found.has_errors else compiled), saved.contract, found


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("apply asks before it runs; without a terminal, pass --yes")
    click.echo(err=True)
    if not click.confirm("Run this plan?", err=True):
        raise click.Abort
