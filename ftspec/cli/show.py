"""`ftspec show`"""

from pathlib import Path
from typing import Any

import click

from ftspec.cli.common import echo_json, fail, find_project, format_option, project_option, report
from ftspec.cli.plan import show_plan
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics, Severity


@click.command("show")
@click.argument("plan_or_run", metavar="PLANFILE|RUN")
@format_option("human", "json", "markdown")
@project_option
def show_command(plan_or_run: str, format_: str, project_folder: Path | None) -> None:
    """Show a saved plan, or the plan that a run followed.

    Never refuses: of a plan that was edited, whose spec has moved on, or that another version of ftspec wrote,
    it shows what can be read, and warns. Whether `apply` would run it is for `apply` to tell.

    \b
    Examples:
      ftspec show change.ftplan
      ftspec show stdlib-search-1a2b3c4d --format json
    """
    from ftspec.driver.planfile import plan_file_of, read_text_of
    from ftspec.driver.stale import warn_if_moved
    from ftspec.plan.text import document_of, is_other_major, saved_from_json
    from ftspec.view.contract import render_head

    project = find_project(project_folder)
    path, found = plan_file_of(plan_or_run, project)
    text = None
    if path is not None:
        text, found = read_text_of(path)
    document: dict[str, Any] | None = None
    if text is not None:
        document, found = document_of(text, name=str(path))
    if text is None or document is None:
        fail(found, format_=format_)
    version = str(document["format_version"])
    if is_other_major(version):
        _warn(found, codes.PLAN_VERSION, f"{path} has format {version:.40}; only this much of it can be read")
        report(found, format_=format_)
        if format_ == "json":
            echo_json(document)
        else:
            click.echo(render_head(document).rstrip("\n"))
        return
    saved, found = saved_from_json(text, name=str(path), lenient=True)
    if saved is None:
        fail(found, format_=format_)
    if path == Path(plan_or_run):  # runs are history: that specs move on is no news
        for detail in warn_if_moved(saved):
            _warn(found, codes.STALE_PLAN, detail)
    report(found, format_=format_)
    show_plan(saved.plan, format_, contract=saved.contract)


def _warn(found: Diagnostics, code: Any, detail: str) -> None:
    found.add(code, detail, severity=Severity.WARNING)
