"""`ftspec validate`"""

import sys
from pathlib import Path

import click

from ftspec.cli.common import fail, find_project, format_option, set_option, terminal_width, wants_color
from ftspec.cli.exits import exit_code
from ftspec.cli.findings import show_findings
from ftspec.diagnostics.model import Diagnostics


@click.command("validate")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path), metavar="[SPEC]...")
@set_option
@format_option("human", "json", "sarif", "github")
def validate_command(specs: tuple[Path, ...], overrides: tuple[str, ...], format_: str) -> None:
    """Check specs without looking at data, model or machine. All faults of all files are reported, and names
    that two of them share. Without SPEC all specs of the project are checked.

    \b
    Examples:
      ftspec validate                                # every spec of the project
      ftspec validate specs/*.yaml
      ftspec validate spec.yaml --format github      # annotations in a pull request
      ftspec validate spec.yaml --format sarif > ftspec.sarif
    """
    from ftspec.source.load import load_document
    from ftspec.spec.check import check_spec
    from ftspec.view.diagnostics import render_diagnostics

    specs = specs or _all()
    found = Diagnostics()
    valid = 0
    documents = []
    for path in specs:
        document, here = load_document(path, overrides)
        if document is not None:
            documents.append((path, document))
            spec, more = check_spec(document)
            here.extend(more)
            valid += spec is not None and not here.has_errors
        found.extend(here)
    if len(documents) > 1:
        from ftspec.driver.names import clashes_of

        found.extend(clashes_of(documents).values())
    if format_ != "human":
        show_findings(found, format_)
        raise SystemExit(exit_code(found))
    if found.has_errors:
        fail(found)
    if len(found):
        click.echo(
            render_diagnostics(found, "human", color=wants_color(sys.stderr), width=terminal_width()),
            err=True,
        )
    click.echo(f"{valid} spec{'s' if valid != 1 else ''} valid")


def _all() -> tuple[Path, ...]:
    from ftspec.driver.specs import project_specs, shown

    project = find_project(None)
    specs = tuple(shown(path) for path in project_specs(project.root))
    if not specs:
        raise click.UsageError(f"there is no spec below {project.root}; name one")
    return specs
