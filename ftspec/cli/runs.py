"""`ftspec runs`: what was run here, and how it ended."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import find_project, format_option, project_option, report

if TYPE_CHECKING:
    from ftspec.diagnostics.model import Diagnostics
    from ftspec.store.project import Project
    from ftspec.store.run_record import RunRecord
    from ftspec.view.runs import RunSummary

EPILOG = """\b
Examples:
  ftspec runs                     every run, the newest first
  ftspec runs support-search      the runs of one spec
  ftspec runs --format json | jq '.[0].metrics'"""


@click.command("runs", epilog=EPILOG)
@click.argument("name", required=False)
@format_option("human", "json")
@project_option
def runs_command(name: str | None, format_: str, project_folder: Path | None) -> None:
    """List runs: all of them, or those of NAME (the name of a spec, or a run id)."""
    from ftspec.cli.output import result_width, write_message, write_result
    from ftspec.view.runs import render_runs

    found, faults = summarise_runs(find_project(project_folder), name)
    report(faults)
    if not found and format_ == "human":
        write_message(
            f"no runs of `{name}` yet" if name else "no runs yet: `ftspec apply SPEC` makes the first"
        )
        return
    write_result(render_runs(found, format=format_, width=result_width()))


def summarise_runs(
    project: "Project", name: str | None = None
) -> tuple[tuple["RunSummary", ...], "Diagnostics"]:
    """The newest first: unfinished run folders, then finished runs from their records."""
    from ftspec.run.folder import is_finished, plan_digest_of, run_folders
    from ftspec.store.leases import current_holder
    from ftspec.store.run_record import all_records
    from ftspec.view.runs import RunSummary

    records, faults = all_records(project)
    waiting = [folder for folder in run_folders(project) if not is_finished(folder)]
    state = "running" if current_holder(project) is not None else "unfinished"
    found = [
        RunSummary(
            run_id=folder.name,
            name=re.sub(r"-[0-9a-f]{8}(-\d+)?$", "", folder.name),
            state=state if folder == waiting[0] else "unfinished",  # one project runs one thing
            plan_digest=plan_digest_of(folder),
        )
        for folder in waiting
    ]
    found += [_finished(record) for record in reversed(records)]
    return tuple(run for run in found if name in (None, run.name, run.run_id)), faults


def _finished(record: "RunRecord") -> "RunSummary":
    from ftspec.view.runs import RunSummary

    gates = record.spec.get("gates")
    tuned = record.metrics.get("tuned", {})
    wanted = [*(gates if isinstance(gates, dict) else ()), *tuned]
    model = record.model
    return RunSummary(
        run_id=record.run_id,
        name=record.name,
        state="finished",
        verdict=record.verdict,
        started=record.started,
        ended=record.ended,
        wall_seconds=record.wall_seconds,
        spec_hash=record.spec_hash,
        plan_digest=record.plan_digest,
        primary=next((metric for metric in wanted if metric in tuned), None),
        metrics=record.metrics,
        model=f"{model.name} {model.version}" if model else None,
        model_path=model.path if model else None,
        tainted=list(record.tainted),
    )
