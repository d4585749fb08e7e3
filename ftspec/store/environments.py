"""Environments: names such as `production` that point to a registered version.

`ftspec.environments.json` at the project's root holds the pointers. It is the one file whose replacement moves
them, and teams commit it. Each entry is the whole promotion that led to it. How it came there tells `history`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.files import write_atomically
from ftspec.store.project import ENVIRONMENTS_FILE, Project
from ftspec.store.promotion import Pointers, Promotion, promotion_document, read_promotion, unusable

FILE_VERSION = 1
_WAIT_SECONDS = 10.0  # swapping a pointer takes milliseconds


def pointer(project: Project, name: str, environment: str) -> Promotion | None:
    """What `environment` points to for the model `name`; None when nothing was promoted there.

    Raises FTS680 when the file cannot be used.
    """
    return read_pointers(project).get((environment, name))


def pointers_to(project: Project, name: str, version: str) -> tuple[Promotion, ...]:
    """The environments that point to a version now."""
    found = read_pointers(project)
    return tuple(each for each in found.values() if (each.name, each.version) == (name, version))


def read_pointers(project: Project) -> Pointers:
    """All pointers of the file, by environment and name; no file: none. Raises FTS680."""
    try:
        text = project.environments.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(f"it cannot be read: {error}") from error
    return parse_pointers(text)


def strict_pointers(project: Project) -> Pointers:
    """As `read_pointers`, and FTS680 when there is no file although promotions were recorded: what an
    environment held must not be forgotten, or the next promotion would be judged against nothing."""
    if not project.environments.exists() and any(project.promotions.glob("*.json")):
        raise FtspecError(
            Diagnostic(
                code=codes.ENVIRONMENTS_UNREADABLE,
                detail="it is not there, but promotions are recorded in .ftspec/promotions",
                help="restore it from git, or `ftspec state rebuild` writes it from what was recorded here, and says what",
            )
        )
    return read_pointers(project)


@contextmanager
def environments_lock(project: Project, *, wait_seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Held while pointers or what they point to change; never during training, so that a rollback need not
    wait for it. Raises FTS601 when it stays taken."""
    from filelock import FileLock, Timeout

    project.create()
    lock = FileLock(project.state / "environments.lock", timeout=wait_seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise FtspecError(
            Diagnostic(
                code=codes.LOCKED,
                detail=f"another process moves an environment, for more than {wait_seconds:g} s",
                help="wait for it to end, and give the command again",
            )
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_pointers(project: Project, pointers: Pointers) -> None:
    """Replace the file in one step; the same pointers give the same bytes."""
    environments: dict[str, dict[str, Any]] = {}
    for (environment, name), promotion in pointers.items():
        entry = promotion_document(promotion)
        environments.setdefault(environment, {})[name] = {
            key: value for key, value in entry.items() if key not in ("environment", "name")
        }
    document = {"version": FILE_VERSION, "environments": environments}
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(project.environments, text + "\n")


def parse_pointers(text: str) -> Pointers:
    """The content of the file, which may come out of a commit. Raises FTS680."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            raise unusable(
                f"line {number}: a merge conflict was left in it",
                help=f"keep one side of it: `git checkout --ours {ENVIRONMENTS_FILE}`, or --theirs, and `git add` it",
            )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unusable(f"it is no JSON, or was cut off: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FILE_VERSION:
        raise unusable(f"it has version {version}; this ftspec reads {FILE_VERSION}", help="update ftspec")
    match document:
        case {"version": 1, "environments": dict(environments), **rest} if not rest:
            pass
        case _:
            raise unusable("it is not of the form that ftspec writes")
    found = {}
    for environment, models in environments.items():
        place = f"environment {environment!r:.80}"
        if not isinstance(models, dict):
            raise unusable(f"{place} is not of the form that ftspec writes")
        for name, entry in models.items():
            if not isinstance(entry, dict):
                raise unusable(f"{place}, {name!r:.80} is not of the form that ftspec writes")
            whole = {**entry, "environment": environment, "name": name}
            found[environment, name] = read_promotion(whole, f"{place}, {name!r:.80}")
    return found
