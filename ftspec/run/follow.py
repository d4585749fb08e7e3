"""Reads a growing file of a run line by line, and knows when no more will come."""

import time
from collections.abc import Iterator
from pathlib import Path

from ftspec.run.folder import is_finished
from ftspec.run.logtext import clean_line, secrets_of
from ftspec.store.leases import current_holder
from ftspec.store.project import Project

_POLL_SECONDS = 0.2


def follow_lines(project: Project, path: Path, *, follow: bool, raw: bool) -> Iterator[str]:
    """Whole lines without their end; `raw` as they are, else cleaned for a terminal.

    With `follow`, ends when the run has its record, or when nobody works on the project any more.
    """
    secrets = secrets_of()
    offset, rest = 0, b""
    while True:
        going = follow and _is_going(project, path.parent)  # looked at before the read: nothing is missed
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                text = line.decode("utf-8", errors="replace")
                yield text if raw else clean_line(text, secrets)
        if not going:
            if rest and not raw:
                yield clean_line(rest.decode("utf-8", errors="replace"), secrets)
            return
        time.sleep(_POLL_SECONDS)


def _is_going(project: Project, run_folder: Path) -> bool:
    return not is_finished(run_folder) and current_holder(project) is not None
