"""One apply at a time. An operating-system lock, so that it dies with its holder, however that dies."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.files import write_atomically
from ftspec.store.project import Project

_CLOCK_SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    host: str
    pid: int
    process_started: float  # seconds since the epoch; tells a reused pid from the holder
    since: str  # ISO 8601, UTC
    purpose: str

    def __str__(self) -> str:
        return f"`{self.purpose}` by process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def project_lock(project: Project, purpose: str) -> Iterator[Holder]:
    """Hold the project, or raise FTS601 at once with who holds it. `purpose` is the user's command."""
    from filelock import FileLock, Timeout

    project.create()
    lock = FileLock(project.lock, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise FtspecError(_locked(project)) from error
    try:
        holder = Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=_started(os.getpid()) or 0.0,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            purpose=purpose,
        )
        write_atomically(_holder_file(project), json.dumps(asdict(holder)) + "\n")
        yield holder
    finally:
        _holder_file(project).unlink(missing_ok=True)
        lock.release()


def current_holder(project: Project) -> Holder | None:
    """Who holds the project now. Looks without touching the lock, so it never gets in the way.

    A holder on another host cannot be asked whether it lives, and counts as alive.
    """
    holder = _read_holder(project)
    if holder is None or holder.host != socket.gethostname():
        return holder
    started = _started(holder.pid)
    if started is None or abs(started - holder.process_started) > _CLOCK_SLACK_SECONDS:
        return None
    return holder


def _locked(project: Project) -> Diagnostic:
    holder = _read_holder(project)
    detail = f"held for {holder}" if holder is not None else "its holder has not signed it yet"
    return Diagnostic(code=codes.LOCKED, detail=detail, help="wait for it to end, or stop that process")


def _holder_file(project: Project) -> Path:
    return project.lock.with_name("lock.json")


def _read_holder(project: Project) -> Holder | None:
    try:
        document = json.loads(_holder_file(project).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    match document:
        case {
            "host": str(host),
            "pid": int(pid),
            "process_started": float(started),
            "since": str(since),
            "purpose": str(purpose),
        }:
            return Holder(host=host, pid=pid, process_started=started, since=since, purpose=purpose)
        case _:
            return None


def _started(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0.0
