"""`ftspec lock`"""

from pathlib import Path

import click

from ftspec.cli.common import echo_json, fail, find_project, format_option, project_option, report, write_file
from ftspec.cli.exits import DONE, ERROR, exit_code
from ftspec.cli.findings import FINDINGS, show_findings


@click.command("lock")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path), metavar="[SPEC]...")
@click.option(
    "--upgrade",
    multiple=True,
    metavar="NAME",
    help="A model that takes the revision that is here now, in place of the locked one. May be repeated.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the lock would change.")
@format_option("human", "json", "github", "sarif")
@project_option
def lock_command(
    specs: tuple[Path, ...],
    upgrade: tuple[str, ...],
    check: bool,
    format_: str,
    project_folder: Path | None,
) -> None:
    """Write down what specs resolve to: ftspec.lock at the root of the project, to be committed.

    It states revision and digest of every model and its files, digest, rows and columns of every data source,
    and the versions of each backend's packages that numbers depend on. Plans use the revisions that it names;
    `ftspec plan --locked`, which CI implies, refuses when anything differs. Without SPEC all specs of the
    project are read, and entries that none of them needs are dropped; otherwise those of others stay.

    Data and packages are taken as they are. A model keeps its locked revision unless --upgrade names it; then
    it takes the one on this machine: `ftspec models pull NAME` fetches the newest before. Nothing is downloaded.

    \b
    Examples:
      ftspec lock
      ftspec lock specs/support.yaml
      ftspec models pull org/model && ftspec lock --upgrade org/model
      ftspec lock --check                            # in CI
    """
    from ftspec.driver.lock import make_lock
    from ftspec.driver.specs import project_specs, shown
    from ftspec.store.lockfile import LOCK_NAME, lock_text
    from ftspec.view.lock import lock_json, render_lock

    project = find_project(project_folder)
    chosen = specs or tuple(shown(path) for path in project_specs(project.root))
    if not chosen:
        raise click.UsageError(f"there is no spec below {project.root}; name one")
    result, found = make_lock(chosen, project=project, whole=not specs, upgrade=upgrade)
    if format_ in FINDINGS:
        from ftspec.driver.findings import lock_findings

        found.extend(lock_findings(result, shown(result.path)) if result is not None and check else ())
        show_findings(found, format_)
    if result is None:
        if format_ in FINDINGS:
            raise SystemExit(exit_code(found))
        fail(found, format_=format_)
    if format_ not in FINDINGS:
        report(found, format_=format_)
    differs = bool(result.changes) or result.before is None
    if differs and not check:
        write_file(result.path, lock_text(result.lock))
    written = differs and not check
    if format_ in FINDINGS:
        pass  # said above
    elif format_ == "json":
        echo_json(lock_json(str(result.path), result.specs, result.changes, written=written))
    else:
        text = render_lock(LOCK_NAME, result.lock, result.changes, written=written, check=check)
        click.echo(text.rstrip("\n"))
    raise SystemExit(ERROR if check and differs else DONE)
