"""`ftspec plan --all`"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ftspec.cli.common import echo_json, fail, report, terminal_width, wants_color, write_file
from ftspec.cli.exits import CHANGES, DONE, exit_code
from ftspec.cli.findings import FINDINGS, show_findings
from ftspec.diagnostics.model import Diagnostic
from ftspec.store.project import Project

if TYPE_CHECKING:
    from ftspec.plan.planset import PlanSet


def run_plan_all(
    *,
    project: Project,
    below: Path | None,
    since: str | None,
    out_dir: Path | None,
    hardware: str | None,
    locked: bool | None,
    format_: str,
    detailed_exitcode: bool,
) -> NoReturn:
    """Plan, show, write, leave: 1 when a spec cannot be planned, all others are shown all the same."""
    from ftspec.driver.plan_all import Wish, plan_all
    from ftspec.driver.plan_files import COMMENT_NAME
    from ftspec.view.comment_markdown import comment_markdown

    if below is not None and not below.is_dir():
        raise click.UsageError(f"--all: {str(below)!r} is no folder")
    if out_dir is not None and out_dir.exists() and not out_dir.is_dir():
        raise click.UsageError(f"--out-dir: {str(out_dir)!r} is no folder")
    if out_dir is not None:
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.FileError(str(out_dir), hint=error.strerror or str(error)) from error
    plans, found = plan_all(
        Wish(
            project=project,
            since=since,
            below=None if below is None else below.absolute(),
            hardware_name=hardware,
            locked=locked,
            folder=out_dir,
        )
    )
    if plans is None:
        if format_ in FINDINGS:
            show_findings(found, format_)
            raise SystemExit(exit_code(found))
        fail(found, format_=format_)
    if out_dir is not None:
        write_file(out_dir / COMMENT_NAME, comment_markdown(plans))
    _show(plans, format_)
    faults = [each for spec in plans.specs for each in spec.found]
    code = exit_code(faults)
    if code == DONE and detailed_exitcode and any(spec.running for spec in plans.specs):
        code = CHANGES
    raise SystemExit(code)


def _distinct(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """What is the matter with many specs, such as a faulty lock, is told once."""
    kept: list[Diagnostic] = []
    for each in found:
        if each not in kept:
            kept.append(each)
    return kept


def _show(plans: "PlanSet", format_: str) -> None:
    if format_ in FINDINGS:
        from ftspec.view.plan_annotations import annotations, in_files

        items: list[Diagnostic] = []
        for spec in plans.specs:
            items += in_files(spec.found, Path(spec.path).parent)
            items += annotations(spec.plan, spec.path)
        show_findings(_distinct(items), format_)
    elif format_ == "json":
        from ftspec.view.planset_json import planset_json

        echo_json(planset_json(plans))
    elif format_ == "markdown":
        from ftspec.view.comment_markdown import comment_markdown

        report(_distinct(each for spec in plans.specs for each in spec.found))
        click.echo(comment_markdown(plans).rstrip("\n"))
    else:
        from ftspec.view.planset_human import render_planset

        report(_distinct(each for spec in plans.specs for each in spec.found))
        text = render_planset(plans, width=terminal_width(), color=wants_color(sys.stdout))
        click.echo(text.rstrip("\n"))
