"""`ftspec unlock`"""

from pathlib import Path

import click

from ftspec.cli.common import echo_json, find_project, format_option, project_option
from ftspec.store.project import Project


@click.command("unlock")
@click.argument("lease_id", metavar="[ID]", required=False)
@click.option("--yes", is_flag=True, help="Its holder on another machine is gone; you know that.")
@format_option("human", "json")
@project_option
def unlock_command(lease_id: str | None, yes: bool, format_: str, project_folder: Path | None) -> None:
    """Remove the lease ID of a process that is gone; without ID, list the leases of this project.

    This is rarely needed: a process that ended on this machine is noticed at once, and one on another
    machine when it gives no sign of life. A holder that lives on this machine keeps its lease: stop it
    instead. Exit codes: 0 removed, 1 there is no such lease, 4 its holder lives, or may live.

    \b
    Examples:
      ftspec unlock                    who holds the project
      ftspec unlock 3f9a12c4           its process is gone
      ftspec unlock 3f9a12c4 --yes     of another machine, which was switched off
    """
    project = find_project(project_folder)
    if lease_id is None:
        show_leases(project, format_)
        return
    from ftspec.store.leases import standing_of, unlock
    from ftspec.view.leases import leases_document
    from ftspec.view.safe_text import safe

    lease = unlock(project, lease_id, vouched=yes)
    if format_ == "json":
        echo_json({"removed": leases_document([(lease, standing_of(lease))])})
    else:
        click.echo(f"removed the lease of {safe(str(lease))}")


def show_leases(project: Project, format_: str) -> None:
    from ftspec.cli.output import result_width, write_message, write_result
    from ftspec.store.leases import find_leases
    from ftspec.view.leases import leases_document, render_leases

    leases = find_leases(project)
    if format_ == "json":
        echo_json(leases_document(leases))
    elif leases:
        write_result(render_leases(leases, width=result_width()))
    else:
        write_message("nobody holds this project")
