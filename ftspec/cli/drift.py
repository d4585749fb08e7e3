"""`ftspec drift`"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from ftspec.cli.common import (
    echo_json,
    find_project,
    format_option,
    project_option,
    report,
    tell,
    terminal_width,
    wants_color,
)
from ftspec.cli.exits import CHANGES, DONE, ERROR
from ftspec.cli.findings import FINDINGS, show_findings
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.drift import ModelDrift
from ftspec.store.project import Project


@click.command("drift")
@click.argument("specs", metavar="[SPEC]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--all", "all_specs", is_flag=True, help="Every model of the project; the same as no SPEC.")
@click.option(
    "--behaviour", is_flag=True, help="Score the models again on the held-out side of today's data."
)
@format_option("human", "json", "markdown", "github", "sarif")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is relevant drift.")
@project_option
def drift_command(
    specs: tuple[Path, ...],
    all_specs: bool,
    behaviour: bool,
    format_: str,
    detailed_exitcode: bool,
    project_folder: Path | None,
) -> None:
    """Show what moved under the models that are in use: the current versions, and those that environments
    point to.

    Compared are base model, data, held-out data, stored and registered files, packages and hardware with those
    of the run that made the model. Relevant is what makes the model in use another one than was judged, or
    would make it come out another one today; the rest is informational. Nothing is downloaded: what only the
    hub knows is told as unknown. With --behaviour the model is run on today's held-out side, and held against
    the gates of today's spec. Exit codes: 0 no relevant drift, 2 relevant drift (only with
    --detailed-exitcode), 1 something cannot be looked at: a spec or ftspec.lock that cannot be read.

    \b
    Examples:
      ftspec drift                                   every model of the project
      ftspec drift specs/support.yaml --behaviour    does it still pass its gates?
      ftspec drift --detailed-exitcode --format markdown   for a scheduler
    """
    from ftspec.driver.drift import drift_of
    from ftspec.view.drift import drift_document, drift_markdown, render_drift
    from ftspec.view.waiting import waiting

    if specs and all_specs:
        raise click.UsageError("name specs, or pass --all")
    project = find_project(project_folder)
    found = Diagnostics()
    named = list(_named(specs, found) if specs else _everything(project))
    with waiting("Comparing with what is there now"):
        result, here = drift_of(project, named)
    if behaviour:
        from ftspec.driver.behaviour import with_behaviour

        models = with_behaviour(project, result.models, dict(named), tell=_say, notify=tell, found=here)
        result = replace(result, models=models)
    found.extend(each for each in here if each not in found.items)
    if format_ in FINDINGS:
        from ftspec.driver.findings import drift_findings

        show_findings([*found, *drift_findings(result)], format_)
        raise SystemExit(
            ERROR if found.has_errors else CHANGES if detailed_exitcode and result.relevant else DONE
        )
    if format_ == "json":
        echo_json(drift_document(result))
    elif format_ == "markdown":
        click.echo(drift_markdown(result).rstrip("\n"))
    else:
        text = render_drift(result, width=terminal_width(), color=wants_color(sys.stdout))
        click.echo(text.rstrip("\n"))
    report(found, format_=format_)
    if found.has_errors:
        raise SystemExit(ERROR)
    raise SystemExit(CHANGES if detailed_exitcode and result.relevant else DONE)


def show_plan_drift(drifted: Sequence[ModelDrift], format_: str) -> None:
    """What a plan says of drift: relevant findings, where there are some. Its JSON holds them itself."""
    from ftspec.view.drift import drift_section_markdown, drift_section_text

    if not drifted or format_ not in ("human", "markdown"):
        return
    if format_ == "markdown":
        click.echo("\n" + drift_section_markdown(drifted).rstrip("\n"))
    else:
        text = drift_section_text(drifted, width=terminal_width(), color=wants_color(sys.stdout))
        click.echo("\n" + text.rstrip("\n"))


def _named(specs: tuple[Path, ...], found: Diagnostics) -> Iterator[tuple[str, Path | None]]:
    """The names that specs give their models. Faulty specs are told, and go on where their name is known."""
    from ftspec.driver.names import name_of
    from ftspec.source.load import load_document
    from ftspec.spec.check import check_spec

    for path in specs:
        document, here = load_document(path)
        found.extend(here)
        if document is None:
            continue
        found.extend(check_spec(document)[1])
        name = name_of(document)
        if name is not None:
            yield name, path


def _everything(project: Project) -> Iterator[tuple[str, Path | None]]:
    from ftspec.driver.drift import in_use

    for name in dict.fromkeys(each.name for each in in_use(project)):
        yield name, None


def _say(text: str) -> None:
    click.echo(text, err=True)
