"""`ftspec state`: care for the ledger."""

from pathlib import Path

import click

from ftspec.cli.common import find_project, format_option, project_option, report, tell


@click.group(
    "state",
    epilog="""\b
Examples:
  ftspec state verify
  ftspec state rebuild
  ftspec state backup ledger-monday.duckdb""",
)
def state_command() -> None:
    """Verify, rebuild or copy the ledger in .ftspec/ftspec.duckdb."""


@state_command.command("rebuild", epilog="\b\nExample:\n  ftspec state rebuild")
@project_option
def rebuild_command(project_folder: Path | None) -> None:
    """Make the ledger again from run records, artefacts and registered models."""
    from ftspec.cli.output import write_message, write_result
    from ftspec.diagnostics.model import FtspecError
    from ftspec.driver.pointers import committed_pointers
    from ftspec.store.leases import project_lease
    from ftspec.store.rebuild import rebuild
    from ftspec.view.environments import render_restored

    place = find_project(project_folder)
    with project_lease(place, "ftspec state rebuild", notify=tell):
        result, found = rebuild(place)
    if result.set_aside is not None:
        write_message(f"the ledger could not be read; it was moved to {place.relative(result.set_aside)}")
    write_result(
        f"rebuilt: {result.runs} runs, {result.query_scores} query scores, "
        f"{result.artifacts} artefacts, {result.models} models, {result.promotions} promotions\n"
    )
    if result.pointers:
        write_result(render_restored(result.pointers, committed_pointers(place)))
    if found.has_errors:
        raise FtspecError(*found)
    report(found)


@state_command.command("verify", epilog="\b\nExample:\n  ftspec state verify || ftspec state rebuild")
@project_option
def verify_command(project_folder: Path | None) -> None:
    """Compare the ledger with run records, artefacts and models. Reads every stored file."""
    from ftspec.cli.output import write_result
    from ftspec.diagnostics.model import FtspecError
    from ftspec.store.rebuild import verify

    found = verify(find_project(project_folder))
    if len(found):
        raise FtspecError(*found)
    write_result("ledger, run records, artefacts and models agree\n")


@state_command.command("leases", epilog="\b\nExample:\n  ftspec state leases --format json")
@format_option("human", "json")
@project_option
def leases_command(format_: str, project_folder: Path | None) -> None:
    """Show who holds the project."""
    from ftspec.cli.unlock import show_leases

    show_leases(find_project(project_folder), format_)


@state_command.command("backup", epilog="\b\nExample:\n  ftspec state backup ledger-monday.duckdb")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@project_option
def backup_command(file: Path, force: bool, project_folder: Path | None) -> None:
    """Write a consistent copy of the ledger to FILE, a DuckDB database of its own."""
    from ftspec.cli.output import write_result
    from ftspec.store.rebuild import backup

    if file.exists() and not force:
        raise click.UsageError(f"{file} exists; pass --force to replace it")
    backup(find_project(project_folder), file)
    write_result(f"{file}\n")
