"""`ftspec plan`"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

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
from ftspec.cli.exits import CHANGES, DONE, exit_code
from ftspec.cli.findings import FINDINGS, show_findings
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.model import Action, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftspec.plan.contract import Contract
    from ftspec.plan.drift import ModelDrift


@click.command("plan")
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plan to a file that `apply` runs.",
)
@click.option("--all", "all_", is_flag=True, help="Plan every spec of the project, or below the folder SPEC.")
@click.option(
    "--since",
    metavar="REVISION",
    help="With --all: only specs that changed since this branch left REVISION, and what that costs.",
)
@click.option(
    "--out-dir",
    type=click.Path(path_type=Path),
    help="With --all: write a plan file for each spec that would run, their digests, and comment.md.",
)
@hardware_option
@set_option
@format_option("human", "json", "markdown", "github", "sarif")
@click.option(
    "--locked/--no-locked",
    default=None,
    help="Refuse when ftspec.lock and what is here disagree; default in CI where there is a lock.",
)
@click.option("--explain", is_flag=True, help="Say of every field how well the backend does it.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when apply would run something, 0 when not.")
@project_option
def plan_command(
    spec: Path | None,
    out: Path | None,
    all_: bool,
    since: str | None,
    out_dir: Path | None,
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
      ftspec plan --all --since origin/main --format markdown
    """
    if all_:
        if out is not None or overrides or explain:
            raise click.UsageError(
                "--all goes with neither --out, --set nor --explain; --out-dir writes plan files"
            )
        from ftspec.cli.plan_all import run_plan_all

        run_plan_all(
            project=find_project(project_folder),
            below=spec,
            since=since,
            out_dir=out_dir,
            hardware=hardware,
            locked=locked,
            format_=format_,
            detailed_exitcode=detailed_exitcode,
        )
    if since is not None or out_dir is not None:
        raise click.UsageError("--since and --out-dir go with --all")
    if spec is None:
        raise click.UsageError("name a SPEC, or --all")
    from ftspec.driver.compile import compile_spec
    from ftspec.driver.current import moves_of_current
    from ftspec.driver.lock_check import check_lock
    from ftspec.driver.names import clash_with_current
    from ftspec.driver.planfile import is_spec_name
    from ftspec.plan.text import plan_to_json

    if out is not None and is_spec_name(out):
        raise click.UsageError(f"--out: `apply` takes {out.suffix} for a spec; name it e.g. change.ftplan")

    compiled, found = compile_spec(
        spec, project=find_project(project_folder), overrides=overrides, hardware_name=hardware
    )
    if compiled is None:
        _refuse(found, format_, spec)
    found.extend(check_lock(compiled, find_project(project_folder), locked=locked, here=hardware is None))
    found.extend(clash_with_current(compiled, find_project(project_folder)))
    found.extend(moves_of_current(compiled.plan, find_project(project_folder)))
    if found.has_errors:
        _refuse(found, format_, spec)
    plan = compiled.plan
    if out is not None:
        if not out.parent.is_dir():
            raise click.UsageError(f"--out: there is no folder {str(out.parent)!r}")
        from ftspec.driver.contract import contract_of

        contract, faults = contract_of(compiled, find_project(project_folder), here=hardware is None)
        if contract is None:
            fail(faults, format_=format_)
        write_file(out, plan_to_json(plan, contract))
    if format_ in FINDINGS:
        from ftspec.view.plan_annotations import annotations

        show_findings([*found, *annotations(plan, str(spec))], format_)
    else:
        from ftspec.cli.drift import show_plan_drift
        from ftspec.driver.drift import plan_drift

        drifted = plan_drift(find_project(project_folder), plan.name, spec)
        report(found, format_=format_)
        show_plan(plan, format_, explain=explain, drift=drifted)
        show_plan_drift(drifted, format_)
    if out is not None and format_ == "human":
        click.echo(f"\nSaved to {out}. Run exactly this with: ftspec apply {shlex.quote(str(out))}", err=True)
    changes = any(stage.action is Action.RUN for stage in plan.stages)
    raise SystemExit(CHANGES if detailed_exitcode and changes else DONE)


def _refuse(found: Diagnostics, format_: str, spec: Path) -> NoReturn:
    if format_ in FINDINGS:
        from ftspec.view.plan_annotations import in_files

        show_findings(in_files(found, spec.parent), format_)
        raise SystemExit(exit_code(found))
    fail(found, format_=format_)


def show_plan(
    plan: Plan,
    format_: str,
    *,
    explain: bool = False,
    contract: "Contract | None" = None,
    drift: "Sequence[ModelDrift]" = (),
) -> None:
    """Print a plan in one of the formats of `plan`, `show` and `apply`; `explain` is for people alone,
    `contract`, of a saved plan, for people and programs, and `drift` for programs: people are told below."""
    if format_ == "json":
        from ftspec.view.plan_json import plan_json

        echo_json(plan_json(plan, contract, drift))
    elif format_ == "markdown":
        from ftspec.view.plan_markdown import plan_markdown

        click.echo(plan_markdown(plan).rstrip("\n"))
    else:
        from ftspec.view.plan_human import render_plan

        text = render_plan(plan, width=terminal_width(), color=wants_color(sys.stdout), explain=explain)
        click.echo(text.rstrip("\n"))
        if contract is not None:
            from ftspec.view.contract import render_contract

            click.echo("\n" + render_contract(contract).rstrip("\n"))
