"""`ftspec models`"""

from pathlib import Path

import click

from ftspec.cli.common import (
    echo_json,
    fail,
    find_project,
    format_option,
    project_option,
    report,
    tell,
    terminal_width,
)
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.project import Project


@click.group("models")
def models_command() -> None:
    """List, show, export, merge and delete the models that were registered here, or fetch a base model.

    \b
    Examples:
      ftspec models list
      ftspec models show stdlib-search
      ftspec models export stdlib-search ./my-model
      ftspec models export docs-answers --form adapter --to ./adapter
      ftspec models merge docs-answers
    """


def _version_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option("--version", help="Such as v2; default: the current one.")(function)


@models_command.command("list", short_help="List versions; * marks those that queries load.")
@format_option("human", "json")
@project_option
def list_command(format_: str, project_folder: Path | None) -> None:
    """List every version of every model; * marks the ones that queries load."""
    from ftspec.store.registry import list_models
    from ftspec.view.models import model_document, render_models

    project = find_project(project_folder)
    models, (places, found) = list_models(project), _places(project)
    if format_ == "json":
        echo_json([model_document(model, environments=places) for model in models])
    elif models:
        click.echo(render_models(models, environments=places, width=terminal_width()), nl=False)
    else:
        click.echo("no model is registered yet; `ftspec apply SPEC` makes one", err=True)
    if found:
        fail(found, format_=format_)


@models_command.command("show", short_help="Show where a model lies and what made it.")
@click.argument("name")
@_version_option
@format_option("human", "json")
@project_option
def show_command(name: str, version: str | None, format_: str, project_folder: Path | None) -> None:
    """Show where a model lies, what it was made from, and what was measured."""
    from ftspec.serve.served import find_registered, read_passport
    from ftspec.view.models import model_document, render_model

    project = find_project(project_folder)
    model, (places, found) = find_registered(project, name, version), _places(project)
    passport = read_passport(model.path)
    if format_ == "json":
        echo_json({**model_document(model, environments=places), "passport": passport})
    else:
        click.echo(render_model(model, passport, environments=places), nl=False)
    if found:
        fail(found, format_=format_)


def _places(project: Project) -> tuple[dict[tuple[str, str], list[str]], tuple[Diagnostic, ...]]:
    """The environments of each version. A file that cannot be used hides no model, and is told after them."""
    from ftspec.store.environments import read_pointers

    found: dict[tuple[str, str], list[str]] = {}
    try:
        pointers = read_pointers(project)
    except FtspecError as error:
        return found, tuple(error.diagnostics)
    for environment, name in sorted(pointers):
        found.setdefault((name, pointers[environment, name].version), []).append(environment)
    return found, ()


@models_command.command("delete", short_help="Delete a version, or a whole model.")
@click.argument("name")
@click.option("--version", help="Such as v2; default: all versions.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
def delete_command(name: str, version: str | None, yes: bool, project_folder: Path | None) -> None:
    """Delete a version, or a model with all its versions. Runs and their evidence stay. A version that an
    environment points to is not deleted."""
    from ftspec.serve.served import find_registered
    from ftspec.store.leases import project_lease
    from ftspec.store.registry import delete_model, list_models, refuse_promoted

    project = find_project(project_folder)
    if version is None:
        versions = list_models(project, name)
        if not versions:
            find_registered(project, name, None)  # raises with what there is
    else:
        versions = (find_registered(project, name, version),)
    named = ", ".join(f"{model.version}{' (current)' if model.current else ''}" for model in versions)
    if not yes:
        click.confirm(f"Delete {name} {named}?", abort=True, err=True)
    with project_lease(project, f"models delete {name}", notify=tell):
        refuse_promoted(project, versions)  # before the first of them goes
        for model in versions:
            delete_model(project, name, model.version)
    click.echo(f"deleted {name} {named}")
    left = list_models(project, name)
    if left and not any(model.current for model in left):
        after = "; queries fall back to the base model" if left[0].kind == "Embedding" else ""
        click.echo(f"note: no version of {name} is current now{after}", err=True)


@models_command.command("export", short_help="Copy a model into a folder of its own.")
@click.argument("name")
@click.argument("destination", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="The same as DESTINATION.")
@click.option(
    "--form",
    type=click.Choice(["adapter", "merged"]),
    help="Of an LLM: the adapter alone, or all weights without it; default: all that is registered.",
)
@_version_option
@project_option
def export_command(
    name: str,
    destination: Path | None,
    to: Path | None,
    form: str | None,
    version: str | None,
    project_folder: Path | None,
) -> None:
    """Copy a model into a new or empty folder, complete or not at all."""
    from ftspec.serve.export import export_model
    from ftspec.serve.served import find_registered

    target = to if destination is None else destination
    if target is None or (to is not None and destination is not None):
        raise click.UsageError("name the folder once: as DESTINATION, or by --to")
    model = find_registered(find_project(project_folder), name, version)
    export_model(model, target, form)
    click.echo(f"copied {model.name} {model.version} to {target}")


@models_command.command("merge", short_help="Make a whole model of an adapter.")
@click.argument("name")
@click.option(
    "--base",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the base; default: where the plan found it.",
)
@_version_option
@project_option
def merge_command(name: str, base: Path | None, version: str | None, project_folder: Path | None) -> None:
    """Merge an adapter that was registered unmerged into its base, and register the whole model.

    The program of the backend that trained it does that, in its own environment, and compares both.
    """
    from ftspec.driver.merge import merge_model
    from ftspec.serve.served import find_registered
    from ftspec.target.load import load_targets

    project = find_project(project_folder)
    model = find_registered(project, name, version)
    targets, found = load_targets(cache=project.cache)
    report(found, format_="human")
    made = merge_model(project, model, targets=targets, base=base, notify=tell)
    click.echo(f"registered {made.name} {made.version}, merged from {model.version}: {made.path}")


@models_command.command("pull", short_help="Fetch a base model from the hub.")
@click.argument("id")
@click.option("--revision", help="Branch, tag or commit; default: main.")
@format_option("human", "json")
def pull_command(id: str, revision: str | None, format_: str) -> None:
    """Fetch a base model from the hub into its cache, so that plans find it."""
    from ftspec.models.hub import pull

    folder, found = pull(id, revision)
    if folder is None:
        fail(found, format_=format_)
    report(found, format_=format_)
    if format_ == "json":
        echo_json({"id": id, "revision": revision, "path": str(folder)})
    else:
        click.echo(str(folder))
