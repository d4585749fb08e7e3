"""`ftspec rollback`"""

import sys
from pathlib import Path

import click

from ftspec.cli.common import echo_json, find_project, format_option, project_option, report
from ftspec.cli.environment import environment_option


@click.command("rollback")
@click.argument("name")
@environment_option("--to", required=True, help="The environment to roll back.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--note", default="", metavar="TEXT", help="Kept with the rollback.")
@format_option("human", "json")
@project_option
def rollback_command(
    name: str, environment: str, yes: bool, note: str, format_: str, project_folder: Path | None
) -> None:
    """Point an environment back to the version that it held before. Nothing is compared.

    It needs no file of the present model, and does not wait for a run. Versions whose files are gone are
    passed over. A second rollback goes further back.

    \b
    Examples:
      ftspec rollback support-search --to production
      ftspec rollback support-search --to production --yes --note "timeouts"
    """
    from ftspec.driver.rollback import rollback
    from ftspec.store.promotion import promotion_document
    from ftspec.view.environments import render_promotion

    project = find_project(project_folder)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("rollback asks before it moves a pointer; without a terminal, pass --yes")
        if not click.confirm(f"Roll {name} back in {environment}?", err=True):
            raise click.Abort
    moved, left, found = rollback(project, name, environment, note=note)
    report(found, format_=format_)
    breaks = moved.space_id != left.space_id
    if format_ == "json":
        document = {
            "promotion": promotion_document(moved),
            "left": promotion_document(left),
            "breaks_space": breaks,
        }
        echo_json(document)
        return
    click.echo(render_promotion(moved), nl=False)
    if breaks:
        click.echo(f"note: indexes that were built with {left.version} do not fit {moved.version}", err=True)
