"""`ftspec explain`"""

import re
import sys
from pathlib import Path

import click

from ftspec.cli.common import (
    fail,
    find_project,
    hardware_option,
    project_option,
    set_option,
    terminal_width,
    wants_color,
)
from ftspec.diagnostics.code import find_code


@click.command("explain")
@click.argument("subject", metavar="CODE|SPEC|PLANFILE|RUN|categories")
@click.argument("field", required=False)
@hardware_option
@set_option
@project_option
def explain_command(
    subject: str,
    field: str | None,
    hardware: str | None,
    overrides: tuple[str, ...],
    project_folder: Path | None,
) -> None:
    """Explain a diagnostic code, or why a plan holds the values that it holds.

    \b
    Examples:
      ftspec explain FTS403
      ftspec explain categories                     # what each key of a spec costs to change
      ftspec explain specs/quickstart.yaml
      ftspec explain specs/quickstart.yaml execution.precision
      ftspec explain change.ftplan train.warmup_steps
    """
    color = wants_color(sys.stdout)
    if re.fullmatch(r"(?i)fts\d+", subject):
        from ftspec.view.diagnostics import render_code

        code = find_code(subject)
        if code is None:
            raise click.UsageError(f"there is no code {subject.upper()}")
        click.echo(render_code(code).rstrip("\n"))
        return
    if subject == "categories":
        from ftspec.view.diff_human import render_rules

        click.echo(render_rules(width=terminal_width(), color=color).rstrip("\n"))
        return
    from ftspec.driver.planfile import read_plan_of
    from ftspec.view.explain import UnknownField, render_explanation

    plan, found = read_plan_of(
        subject, find_project(project_folder), overrides=overrides, hardware_name=hardware
    )
    if plan is None:
        fail(found)
    try:
        text = render_explanation(plan, field, width=terminal_width(), color=color)
    except UnknownField as error:
        raise click.UsageError(str(error)) from None
    click.echo(text.rstrip("\n"))
