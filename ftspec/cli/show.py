"""`ftspec show`"""

from pathlib import Path

import click

from ftspec.cli.common import fail, find_project, format_option, project_option
from ftspec.cli.plan import show_plan


@click.command("show")
@click.argument("plan_or_run", metavar="PLANFILE|RUN")
@format_option("human", "json", "markdown")
@project_option
def show_command(plan_or_run: str, format_: str, project_folder: Path | None) -> None:
    """Show a saved plan, or the plan that a run followed. Never refuses an outdated one.

    \b
    Examples:
      ftspec show change.ftplan
      ftspec show stdlib-search-1a2b3c4d --format json
    """
    from ftspec.driver.planfile import read_plan_of

    plan, found = read_plan_of(plan_or_run, find_project(project_folder))
    if plan is None:
        fail(found, format_=format_)
    show_plan(plan, format_)
