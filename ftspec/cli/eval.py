"""`ftspec eval`"""

from pathlib import Path

import click

from ftspec.cli.common import (
    echo_json,
    fail,
    find_project,
    format_option,
    project_option,
    terminal_width,
    wants_color,
)
from ftspec.store.project import Project


@click.command("eval")
@click.argument("name", metavar="[MODEL|RUN]", required=False)
@click.option("--version", help="A version of the model; default: the current one.")
@click.option(
    "--spec",
    "spec_path",
    type=click.Path(path_type=Path),
    help="Show the latest run of this spec, as it stands now.",
)
@format_option("human", "json", "markdown")
@project_option
def eval_command(
    name: str | None, version: str | None, spec_path: Path | None, format_: str, project_folder: Path | None
) -> None:
    """Show the recorded evidence of a run (default: the newest), or of the run that made a model. Nothing is computed again.

    \b
    Examples:
      ftspec eval stdlib-search
      ftspec eval --spec specs/quickstart.yaml --format markdown
    """
    import sys

    from ftspec.serve.recorded import find_run, read_recorded
    from ftspec.view.evidence import evidence_document, evidence_markdown, render_evidence

    if name is not None and spec_path is not None:
        raise click.UsageError("name a model or a run, or give --spec, not both")
    project = find_project(project_folder)
    if spec_path is not None:
        record = find_run(project, gate_key=_gate_key(spec_path, project, format_), label=str(spec_path))
    else:
        record = find_run(project, name=name, version=version, label=name or "the newest run")
    summary, verdict = read_recorded(project, record)
    if format_ == "json":
        document = evidence_document(summary, verdict)
        echo_json({"run_id": record.run_id, "name": record.name, "spec_hash": record.spec_hash, **document})
    elif format_ == "markdown":
        click.echo(evidence_markdown(summary, verdict), nl=False)
    else:
        click.echo(
            f"{record.name} · run {record.run_id} · {record.ended[:16].replace('T', ' ')} UTC", err=True
        )
        color = wants_color(sys.stdout)
        click.echo(render_evidence(summary, verdict, terminal_width(), color=color), nl=False, color=color)


def _gate_key(path: Path, project: Project, format_: str) -> str:
    """Of the verdict that `apply` would come to; wording and remarks of a spec do not reach it."""
    from ftspec.driver.compile import compile_spec

    compiled, found = compile_spec(path, project=project)
    if compiled is None:
        fail(found, format_=format_)
    return next(stage.key for stage in compiled.plan.stages if stage.name == "gate")
