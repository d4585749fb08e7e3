"""`ftspec eject`"""

import json
import sys
from pathlib import Path

import click

from ftspec.cli.common import (
    fail,
    find_project,
    format_option,
    hardware_option,
    project_option,
    report,
    set_option,
    tell,
    wants_color,
)
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation
from ftspec.store.project import Project


@click.command("eject")
@click.argument("spec_or_plan", metavar="SPEC|PLANFILE", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A new or empty folder.",
)
@hardware_option
@set_option
@format_option("human", "json")
@project_option
def eject_command(
    spec_or_plan: Path,
    folder: Path,
    hardware: str | None,
    overrides: tuple[str, ...],
    format_: str,
    project_folder: Path | None,
) -> None:
    """Write the run of a spec, or of a saved plan, as a folder that runs without ftspec.

    Data is read, split and tokenised here; training is left to `bash launch.sh` in the folder, here or
    on the machine that `--hardware` names. Nothing is recorded or registered.

    \b
    Examples:
      ftspec eject spec.yaml --to run
      ftspec eject spec.yaml --hardware h100x8 --set resources.backend=axolotl --to run
      ftspec eject change.ftplan --to run --format json    # the last line is the result
    """
    from ftspec.driver.eject import eject_plan
    from ftspec.plan.codec import digest
    from ftspec.view.progress import progress_view

    project = find_project(project_folder)
    compiled, found = _compile(spec_or_plan, project, overrides, hardware)
    if compiled is None:
        fail(found, format_=format_)
    report(found, format_=format_)
    plan = compiled.plan
    target = next(each for each in compiled.world.targets if each.name == plan.execution.backend)
    with progress_view(plan, format_=format_, color=wants_color(sys.stderr)) as observe:
        written = eject_plan(
            plan,
            project=project,
            target=target,
            folder=folder,
            observe=observe,
            purpose=f"ftspec eject {spec_or_plan}",
            notify=tell,
        )
    if format_ == "json":
        result = {
            "folder": str(written),
            "backend": target.name,
            "plan_digest": digest(plan),
            "command": ["bash", "launch.sh"],
        }
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        from ftspec.view.fidelity import fidelity_summary

        click.echo(f"wrote {folder} for {target.name}: {fidelity_summary(plan)}")
        click.echo("run it there: bash launch.sh", err=True)


def _compile(
    path: Path, project: Project, overrides: tuple[str, ...], hardware: str | None
) -> tuple[Compilation | None, Diagnostics]:
    from ftspec.driver.compile import compile_spec
    from ftspec.driver.planfile import is_plan_file, read_saved_plan
    from ftspec.driver.stale import check_fresh

    if not is_plan_file(path):
        return compile_spec(path, project=project, overrides=overrides, hardware_name=hardware)
    if overrides:
        raise click.UsageError("a saved plan is written as it was reviewed: --set cannot change it")
    saved, found = read_saved_plan(path)
    if saved is None:
        return None, found
    # The folder is for the machine that it was planned for, or for one that can stand in for it.
    return check_fresh(saved, project=project, hardware_name=hardware, run_here=False)
