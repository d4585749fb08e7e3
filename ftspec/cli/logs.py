"""`ftspec logs`: what a run's programs said."""

from pathlib import Path

import click

from ftspec.cli.common import find_project, project_option

EPILOG = """\b
Examples:
  ftspec logs                     the log of the newest run
  ftspec logs support-search -f   follow the newest run of a spec until it ends
  ftspec logs --events | jq 'select(.event == "log") | .loss'"""


@click.command("logs", epilog=EPILOG)
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows, until the run ends.")
@click.option("--events", is_flag=True, help="The events (JSON Lines) instead of the text.")
@project_option
def logs_command(run: str | None, follow: bool, events: bool, project_folder: Path | None) -> None:
    """Print the log of RUN (a run id or the name of a spec; by default the newest run)."""
    from ftspec.cli.output import write_message, write_result
    from ftspec.diagnostics.model import FtspecError
    from ftspec.run.events import EVENTS_FILE
    from ftspec.run.folder import LOG_FILE, find_run
    from ftspec.run.follow import follow_lines

    place = find_project(project_folder)
    folder, found = find_run(place, run)
    if folder is None:
        raise FtspecError(*found)
    path = folder / (EVENTS_FILE if events else LOG_FILE)
    if not path.exists() and not follow:
        write_message(f"run {folder.name} has no {path.name} yet")
        return
    if not follow and path.stat().st_size == 0:
        write_message(
            f"the programs of {folder.name} wrote nothing here; `ftspec logs {folder.name} --events`"
        )
        return
    try:
        for line in follow_lines(place, path, follow=follow, raw=events):
            write_result(line + "\n")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
