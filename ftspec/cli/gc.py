"""`ftspec gc`"""

import sys
from pathlib import Path

import click

from ftspec.cli.common import echo_json, find_project, format_option, project_option, tell, terminal_width


@click.command("gc")
@click.option(
    "--keep",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Promotions of each model in each environment whose models, runs and evidence stay.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@format_option("human", "json")
@project_option
def gc_command(keep: int, dry_run: bool, yes: bool, format_: str, project_folder: Path | None) -> None:
    """Remove stored outputs and unpromoted versions that nothing needs.

    What stays, with its runs, stages and evidence: the last --keep promotions of every environment, and as
    many versions on the way back; current versions; the newest run of every spec; unfinished runs; registered
    models that one of these starts from, or that a spec of the project or ftspec.lock names. Records of runs,
    their plans and logs, and the ledger stay in any case: what was measured is not forgotten.

    \b
    Examples:
      ftspec gc --dry-run
      ftspec gc --keep 5 --yes
    """
    from ftspec.driver.gc import collect_garbage, find_garbage
    from ftspec.view.garbage import garbage_document, render_garbage

    project = find_project(project_folder)
    garbage = find_garbage(project, keep=keep)
    if format_ == "human":
        click.echo(render_garbage(garbage.items, garbage.freed_bytes, width=terminal_width()), nl=False)
    if garbage.items and not dry_run:
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("gc asks before it removes; without a terminal, pass --yes")
            click.confirm("Remove this?", abort=True, err=True)
        garbage = collect_garbage(project, keep=keep, purpose="ftspec gc", notify=tell)
        if format_ == "human":
            click.echo("removed")
    if format_ == "json":
        echo_json(
            {
                "dry_run": dry_run,
                "keep": keep,
                **garbage_document(garbage.items, garbage.freed_bytes),
                "kept": garbage.kept,
            }
        )
