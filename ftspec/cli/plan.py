"""`ftspec plan`"""

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
    set_option,
    terminal_width,
    wants_color,
    write_file,
)
from ftspec.cli.exits import CHANGES, DONE
from ftspec.plan.model import Action, Plan


@click.command("plan")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plan to a file that `apply` runs.",
)
@hardware_option
@set_option
@format_option("human", "json", "markdown")
@click.option(
    "--locked/--no-locked",
    default=None,
    help="Refuse when ftspec.lock and what is here disagree; default in CI where there is a lock.",
)
@click.option("--explain", is_flag=True, help="Say of every field how well the backend does it.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when apply would run something, 0 when not.")
@project_option
def plan_command(
    spec: Path,
    out: Path | None,
    hardware: str | None,
    overrides: tuple[str, ...],
    format_: str,
    locked: bool | None,
    explain: bool,
    detailed_exitcode: bool,
    project_folder: Path | None,
) -> None:
    """Show what a spec would run on this machine (or another), what is reused, and why.

    Plans execute no code from spec, model or data, and need no credential. They are always offline: all that
    they read is the spec, ftspec.lock, and what lies on this machine.

    \b
    Examples:
      ftspec plan specs/quickstart.yaml
      ftspec plan spec.yaml --hardware h100x8
      ftspec plan spec.yaml --set train.learning_rate=3e-5 --out change.ftplan
      ftspec plan spec.yaml --format markdown        # a comment for a pull request
      ftspec plan spec.yaml --locked                 # exactly what ftspec.lock states, as in CI
    """
    from ftspec.driver.compile import compile_spec
    from ftspec.driver.lock_check import check_lock
    from ftspec.driver.planfile import is_spec_name
    from ftspec.plan.text import plan_to_json

    if out is not None and is_spec_name(out):
        raise click.UsageError(f"--out: `apply` takes {out.suffix} for a spec; name it e.g. change.ftplan")

    compiled, found = compile_spec(
        spec, project=find_project(project_folder), overrides=overrides, hardware_name=hardware
    )
    if compiled is None:
        fail(found, format_=format_)
    found.extend(check_lock(compiled, find_project(project_folder), locked=locked, here=hardware is None))
    if found.has_errors:
        fail(found, format_=format_)
    report(found, format_=format_)
    plan = compiled.plan
    if out is not None:
        if not out.parent.is_dir():
            raise click.UsageError(f"--out: there is no folder {str(out.parent)!r}")
        write_file(out, plan_to_json(plan))
    show_plan(plan, format_, explain=explain)
    if out is not None and format_ == "human":
        click.echo(f"\nSaved to {out}. Run exactly this with: ftspec apply {out}", err=True)
    changes = any(stage.action is Action.RUN for stage in plan.stages)
    raise SystemExit(CHANGES if detailed_exitcode and changes else DONE)


def show_plan(plan: Plan, format_: str, *, explain: bool = False) -> None:
    """Print a plan in one of the formats of `plan`, `show` and `apply`; `explain` is for people alone."""
    if format_ == "json":
        from ftspec.view.plan_json import plan_json

        echo_json(plan_json(plan))
    elif format_ == "markdown":
        from ftspec.view.plan_markdown import plan_markdown

        click.echo(plan_markdown(plan).rstrip("\n"))
    else:
        from ftspec.view.plan_human import render_plan

        text = render_plan(plan, width=terminal_width(), color=wants_color(sys.stdout), explain=explain)
        click.echo(text.rstrip("\n"))
