"""`ftspec synth`"""

import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import (
    echo_json,
    fail,
    find_project,
    format_option,
    project_option,
    report,
    set_option,
    terminal_width,
    wants_color,
)
from ftspec.cli.exits import DONE, INTERRUPTED
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.source.document import Document
from ftspec.store.project import Project

if TYPE_CHECKING:
    from ftspec.driver.synth import SynthSource
    from ftspec.synth.account import Account
    from ftspec.synth.cache import Cache
    from ftspec.synth.detect import EndpointState
    from ftspec.view.synth import SynthView


@click.command("synth")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Ask the endpoint for its models only, and show what is missing.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many documents of each source.")
@click.option("--concurrency", type=click.IntRange(1, 256), help="Requests at a time; default: of the spec.")
@click.option("--retry-dropped", is_flag=True, help="Ask again where no reply could be used before.")
@set_option
@format_option("human", "json")
@project_option
def synth_command(
    spec: Path,
    check: bool,
    limit: int | None,
    concurrency: int | None,
    retry_dropped: bool,
    overrides: tuple[str, ...],
    format_: str,
    project_folder: Path | None,
) -> None:
    """Have a language model write what a spec's `synthesize` sections ask for.

    Answers are stored by content under `.ftspec/synth`: what is there is never asked again, and a run that
    was stopped goes on. `plan` and `apply` read what is stored, and use no network.

    \b
    Examples:
      ftspec synth specs/raft.yaml --check       # endpoint, models, requests, tokens, cost
      ftspec synth specs/raft.yaml --limit 5     # a first look
      ftspec synth specs/raft.yaml
    """
    from ftspec.driver.synth import make_source, synth_lock, synth_sources
    from ftspec.source.load import load_document
    from ftspec.spec.check import check_spec
    from ftspec.synth.account import Account
    from ftspec.view.synth import synth_progress

    document, found = load_document(spec, overrides)
    if document is None:
        fail(found, format_=format_)
    checked, here = check_spec(document)
    found.extend(here)
    if checked is None or found.has_errors:
        fail(found, format_=format_)
    sources, here = synth_sources(checked, document.folder)
    found.extend(_placed(each, document) for each in here)
    if found.has_errors:
        fail(found, format_=format_)
    report(found, format_=format_)
    if not sources:
        click.echo(f"{spec} has no `synthesize`: there is nothing to write", err=True)
        raise SystemExit(DONE)
    sources = tuple(source.limited(limit, concurrency) for source in sources)
    project = find_project(project_folder)
    if check:
        _check(spec, sources, document, project, format_)
        return
    account = Account()
    stopped, faults = False, tuple[Diagnostic, ...]()
    with synth_lock(project):
        if format_ == "human":
            _show_state(sources, project)
        quiet = format_ == "json"  # what stands on stderr is read by a program
        with nullcontext(_ignore) if quiet else synth_progress(color=wants_color(sys.stderr)) as show:
            try:
                for source in sources:
                    make_source(source, _cache(project), account, observe=show, retry_dropped=retry_dropped)
            except KeyboardInterrupt:
                stopped = True
            except FtspecError as error:
                faults = error.diagnostics
    complete = _show_done(spec, sources, project, account, format_, stopped=stopped)
    if faults:
        fail((_placed(each, document) for each in faults), format_=format_)
    if stopped:
        raise SystemExit(INTERRUPTED)
    if format_ == "human" and complete and limit is None:
        click.echo(f"\nNext: ftspec plan {shlex.quote(str(spec))}", err=True)


def _check(
    spec: Path, sources: "tuple[SynthSource, ...]", document: Document, project: Project, format_: str
) -> None:
    """Exits with 1 when something is missing, and an endpoint that could give it does not answer."""
    from ftspec.driver.synth import placed
    from ftspec.synth.detect import check_endpoint
    from ftspec.view.synth import render_state, synth_document

    asked: dict[tuple[str, str, str | None], EndpointState] = {}
    views: list[SynthView] = []
    faults: list[Diagnostic] = []
    for source in sources:
        settings = source.settings
        key = (settings.endpoint, settings.api, settings.api_key)
        if key not in asked:
            asked[key] = check_endpoint(settings)
        view = replace(_view(source, project), endpoint=asked[key])
        views.append(view)
        fault = asked[key].fault
        if fault is not None and view.missing:
            faults.append(_placed(placed(fault, source), document))
    if format_ == "json":
        echo_json(synth_document(str(spec), views, None, complete=not any(view.missing for view in views)))
    else:
        text = render_state(views, width=terminal_width(), color=wants_color(sys.stdout))
        click.echo(text, nl=False, color=True)
    if faults:
        fail(faults, format_=format_)


def _show_state(sources: "tuple[SynthSource, ...]", project: Project) -> None:
    from ftspec.view.synth import render_state

    views = [_view(source, project) for source in sources]
    text = render_state(views, width=terminal_width(), color=wants_color(sys.stderr))
    click.echo(text, err=True, color=True)


def _show_done(
    spec: Path,
    sources: "tuple[SynthSource, ...]",
    project: Project,
    account: "Account",
    format_: str,
    *,
    stopped: bool,
) -> bool:
    """True when nothing is missing any more."""
    from ftspec.view.synth import render_done, synth_document

    views = [_view(source, project) for source in sources]
    complete = not any(view.missing for view in views)
    if format_ == "json":
        echo_json(synth_document(str(spec), views, account, complete=complete))
    else:
        text = render_done(
            views, account, width=terminal_width(), color=wants_color(sys.stdout), stopped=stopped
        )
        click.echo(text, nl=False, color=True)
    return complete


def _view(source: "SynthSource", project: Project) -> "SynthView":
    from ftspec.driver.synth import source_state
    from ftspec.view.synth import SynthView

    state = source_state(source, _cache(project))
    side, index = source.place[1:]
    return SynthView(
        place=f"data.{side}[{index}]",
        label=source.label,
        settings=source.settings,
        counts=state.counts,
        expected=state.expected,
    )


def _ignore(_: object) -> None:
    """Shows nothing."""


def _cache(project: Project) -> "Cache":
    from ftspec.synth.cache import Cache

    return Cache(project.synth)


def _placed(found: Diagnostic, document: Document) -> Diagnostic:
    """With the place of the key that it is about."""
    if found.primary is not None or not found.about:
        return found
    return replace(found, primary=document.span(found.about))
