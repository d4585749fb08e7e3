"""Run folders: their names, and which of them wait to be finished."""

import json
import re
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.store.project import Project
from ftspec.store.run_record import RECORD_FILE

LOG_FILE = "trainer.log"
PLAN_FILE = "plan.json"
_DIGITS = 8


def new_run_id(project: Project, name: str, plan_digest: str) -> str:
    """`<name>-<8 hex of the plan>`, then `-2`, `-3`, …: the first that no other run holds.

    An unfinished run of the same plan does not count as another one.
    """
    base = f"{name}-{plan_digest.removeprefix('sha256:')[:_DIGITS]}"
    number = 1
    while True:
        run_id = base if number == 1 else f"{base}-{number}"
        folder = project.runs / run_id
        if not folder.exists() or (not is_finished(folder) and plan_digest_of(folder) in (None, plan_digest)):
            return run_id
        number += 1


def find_unfinished(project: Project, plan_digest: str) -> Path | None:
    """The newest run folder of this plan that has no record yet: what `apply` resumes."""
    found = [
        folder
        for folder in run_folders(project)
        if not is_finished(folder) and plan_digest_of(folder) == plan_digest
    ]
    return max(found, key=lambda folder: folder.stat().st_mtime_ns, default=None)


def is_finished(folder: Path) -> bool:
    return (folder / RECORD_FILE).is_file()


def plan_digest_of(folder: Path) -> str | None:
    """The digest that the folder's plan file states; None when there is no readable plan yet."""
    try:
        document = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    digest = document.get("digest") if isinstance(document, dict) else None
    return digest if isinstance(digest, str) else None


def run_folders(project: Project) -> tuple[Path, ...]:
    """Every run folder, the one that changed last first."""
    if not project.runs.is_dir():
        return ()
    folders = [path for path in project.runs.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return tuple(sorted(folders, key=_changed, reverse=True))


def find_run(project: Project, name: str | None) -> tuple[Path | None, Diagnostics]:
    """A run folder by its id, or the newest run of a spec's name, or (None) the newest; else FTS614."""
    found = Diagnostics()
    folders = run_folders(project)
    for folder in folders:
        if name is None or folder.name == name:
            return folder, found
    if name is not None:
        pattern = re.compile(re.escape(name) + r"-[0-9a-f]{8}(-\d+)?")
        for folder in folders:
            if pattern.fullmatch(folder.name):
                return folder, found
    known = ", ".join(folder.name for folder in folders[:5])
    detail = f"no run is called `{name}`; there is {known or 'none yet'}" if name else "there is none yet"
    found.add(
        codes.RUN_NOT_FOUND,
        detail,
        help="`ftspec runs` lists them" if known else "`ftspec apply SPEC` makes the first one",
    )
    return None, found


def _changed(folder: Path) -> tuple[int, str]:
    times = [folder.stat().st_mtime_ns]
    times += [
        path.stat().st_mtime_ns for path in (folder / "events.jsonl", folder / LOG_FILE) if path.exists()
    ]
    return max(times), folder.name
