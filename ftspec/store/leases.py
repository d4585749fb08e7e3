"""One writer of a project at a time: a lease that says who holds it, and that outlives no holder.

The lease is a file. A lock of the operating system guards the moments in which it is read and replaced, and
no longer, so that anybody can look at it at any time. On this machine the holder's process decides whether
it lives. Of another machine only the heartbeat is seen, and clocks differ: there an old heartbeat is a
suspicion, and a lease changes hands only after it was watched for a while and did not move.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError, Severity
from ftspec.store.files import write_atomically
from ftspec.store.processes import host_name, is_alive, machine_id, start_mark, user_name
from ftspec.store.project import Project

_VERSION = 1
_UNREADABLE = "unreadable"
_LAST_SECOND = 1e11  # no clock shows more, and no lease lasts longer

Notify = Callable[[Diagnostic], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """In seconds. A watch is longer than two beats, so that a living holder shows itself in it."""

    beat: float = 10.0
    expires_after: float = 60.0  # since the last beat
    watch: float = 25.0
    guard: float = 10.0  # patience for the lock around the file, which is held for milliseconds


TIMING = Timing()


class Standing(StrEnum):
    """What can be known of a lease's holder."""

    LIVE = "live"
    ENDED = "ended"  # a process of this machine, and it is gone
    EXPIRED = "expired"  # no beat for too long
    AHEAD = "ahead"  # its last beat lies in the future: one of the clocks is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    id: str  # 8 hex digits; what `ftspec unlock` takes
    user: str
    host: str
    machine: str  # see processes.machine_id
    pid: int
    process: str  # see processes.start_mark
    since: str  # ISO 8601, UTC
    purpose: str  # the command
    heartbeat: float  # seconds since the epoch, by the holder's clock
    beats: int
    expires_after_seconds: float  # without a beat

    def __str__(self) -> str:
        return (
            f"`{self.purpose}` of {self.user}, process {self.pid} on {self.host}, since {self.since} "
            f"(lease {self.id})"
        )

    @property
    def is_here(self) -> bool:
        """Can this machine look at its process?"""
        return self.host == host_name() and self.machine == machine_id()

    def same_beat(self, other: "Lease | None") -> bool:
        return other is not None and (self.id, self.beats) == (other.id, other.beats)


class HeldLease:
    """A lease of this process, with the thread that keeps it alive."""

    def __init__(self, project: Project, lease: Lease, timing: Timing) -> None:
        self.lease = lease
        self._project = project
        self._timing = timing
        self._lost: str | None = None
        self._failing_since: float | None = None  # on a clock that stands still while the machine sleeps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="ftspec-lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def require(self) -> None:
        """Raise FTS625 when the lease is this process's no more. After a pause, such as a computer's sleep,
        it looks first."""
        if time.time() - self.lease.heartbeat > 2 * self._timing.beat:
            self._beat()
        if self._lost is not None:
            raise FtspecError(
                Diagnostic(
                    code=codes.LEASE_LOST,
                    detail=f"lease {self.lease.id} of `{self.lease.purpose}`: {self._lost}",
                    help="apply again when the project is free; what was finished until then is stored",
                )
            )

    def release(self) -> None:
        self._stop.set()
        self._thread.join(self._timing.guard)
        try:
            with _guard(self._project, self._timing):
                self._remove()
        except (OSError, FtspecError):
            self._remove()  # while this process lives nobody else may take it, so the guard is courtesy

    def _remove(self) -> None:
        present = _read(self._project)
        if present is not None and present.id == self.lease.id:
            with suppress(OSError):  # this process ends some day, which frees the lease as well
                self._project.lease.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._stop.wait(self._timing.beat):
            self._beat()

    def _beat(self) -> None:
        """Under the guard: else a beat could write over the lease of one who took it meanwhile. What cannot be
        read or written now, on a full disk or one that is away for a moment, the next beat tries again: nobody
        else takes the lease before it expires. Of one that says another id somebody took it, whatever else
        it says."""
        try:
            with _guard(self._project, self._timing):
                present = _read(self._project)
                if present is None:
                    self._lost = "it was removed"
                elif present.id == _UNREADABLE:
                    self._failed(present.purpose)
                elif present.id != self.lease.id:
                    self._lost = f"the project is held for {present} now"
                elif not self._stop.is_set():
                    self.lease = replace(self.lease, heartbeat=time.time(), beats=self.lease.beats + 1)
                    _write(self._project, self.lease)
                    self._failing_since = None
        except (OSError, FtspecError) as error:
            self._failed(str(error))

    def _failed(self, why: str) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > self._timing.expires_after:
            self._lost = f"no sign of life could be given for {now - self._failing_since:.0f} s: {why}"


@contextmanager
def project_lease(
    project: Project, purpose: str, *, notify: Notify | None = None, timing: Timing = TIMING
) -> Iterator[HeldLease]:
    """Hold the project, or raise FTS601 with who holds it. `purpose` is the user's command.

    `notify` is told when a lease is taken over whose holder is gone (FTS624). A holder on another machine
    whose heartbeat is old, or lies in the future, is watched for `timing.watch` seconds before.
    """
    project.create()
    held = HeldLease(project, _take(project, purpose, notify or _say_nothing, timing), timing)
    held.start()
    try:
        yield held
    finally:
        held.release()


def current_holder(project: Project) -> Lease | None:
    """Who holds the project now. Looks without touching anything, so it never gets in the way."""
    lease = _read(project)
    return lease if lease is not None and standing_of(lease) in (Standing.LIVE, Standing.AHEAD) else None


def find_leases(project: Project) -> tuple[tuple[Lease, Standing], ...]:
    """Every lease of the project, of the living and the gone."""
    lease = _read(project)
    return () if lease is None else ((lease, standing_of(lease)),)


def standing_of(lease: Lease) -> Standing:
    if lease.is_here:
        alive = is_alive(lease.pid, lease.process)
        if alive is not None:
            return Standing.LIVE if alive else Standing.ENDED
    age = time.time() - lease.heartbeat
    if age < -lease.expires_after_seconds:  # less is how far clocks of two machines differ
        return Standing.AHEAD
    return Standing.LIVE if age <= lease.expires_after_seconds else Standing.EXPIRED


def unlock(project: Project, id: str, *, vouched: bool, timing: Timing = TIMING) -> Lease:
    """Remove a lease. A holder that lives on this machine keeps it (FTS601): it can be stopped. For one on
    another machine that may live somebody must have `vouched`. FTS626 for an unknown id.

    A holder that lives after all notices at its next beat, and stops.
    """
    with _guard(project, timing):
        lease = _read(project)
        if lease is None or lease.id != id:
            there = f"there is {lease.id}" if lease is not None else "there is none"
            raise FtspecError(
                Diagnostic(
                    code=codes.LEASE_NOT_FOUND, detail=f"`{id}`; {there}", help="`ftspec unlock` lists them"
                )
            )
        standing = standing_of(lease)
        alive = standing in (Standing.LIVE, Standing.AHEAD)
        if alive and (lease.is_here or not vouched):
            raise FtspecError(_locked(lease))
        project.lease.unlink()
        return lease


def _take(project: Project, purpose: str, notify: Notify, timing: Timing) -> Lease:
    watched: Lease | None = None
    while True:
        with _guard(project, timing):
            present = _read(project)
            standing = None if present is None else standing_of(present)
            is_free = standing in (None, Standing.ENDED)
            still = watched is not None and watched.same_beat(present)
            if is_free or (still and standing is not Standing.LIVE):
                mine = _new_lease(purpose, timing)
                _write(project, mine)
                break
        assert present is not None
        moved = watched is not None and watched.id == present.id and watched.beats != present.beats
        if standing is Standing.LIVE or moved:
            raise FtspecError(_locked(present))
        why = f"{_gone_text(present, standing)}; watching it for {timing.watch:g} s"
        notify(Diagnostic(code=codes.LEASE_TAKEN_OVER, detail=why, severity=Severity.NOTE))
        watched = present
        _watch(project, present, timing)
    if present is not None:
        detail = _gone_text(present, standing)
        notify(Diagnostic(code=codes.LEASE_TAKEN_OVER, detail=detail))
    return mine


def _watch(project: Project, lease: Lease, timing: Timing) -> None:
    """Until the lease moves, or the watch is over."""
    deadline = time.monotonic() + timing.watch
    while time.monotonic() < deadline and lease.same_beat(_read(project)):
        time.sleep(min(0.5, timing.watch / 10))


def _gone_text(lease: Lease, standing: Standing | None) -> str:
    age = time.time() - lease.heartbeat
    if standing is Standing.ENDED:
        return f"{lease}: that process has ended"
    if age < 0:
        return f"{lease}: its last sign of life lies {-age:.0f} s in the future, so a clock was set back"
    return f"{lease}: its last sign of life is {age:.0f} s old"


def _new_lease(purpose: str, timing: Timing) -> Lease:
    return Lease(
        id=secrets.token_hex(4),
        user=user_name(),
        host=host_name(),
        machine=machine_id(),
        pid=os.getpid(),
        process=start_mark(os.getpid()) or "",
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        purpose=purpose,
        heartbeat=time.time(),
        beats=0,
        expires_after_seconds=timing.expires_after,
    )


def _locked(lease: Lease) -> Diagnostic:
    if lease.is_here:
        help = f"wait for it to end, or stop process {lease.pid}"
    else:
        help = f"wait for it to end; if you know that it is gone: ftspec unlock {lease.id} --yes"
    return Diagnostic(code=codes.LOCKED, detail=f"held for {lease}", help=help)


@contextmanager
def _guard(project: Project, timing: Timing) -> Iterator[None]:
    """Alone with the lease file. Raises FTS601 when that takes too long."""
    from filelock import FileLock, Timeout

    project.create()
    lock = FileLock(project.lock, timeout=timing.guard, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        lease = _read(project)
        detail = f"held for {lease}" if lease is not None else "its holder has not signed it"
        help = (
            "stop the process that has this file open: an ftspec of an older version, or one that is halted"
        )
        raise FtspecError(
            Diagnostic(code=codes.LOCKED, detail=f"{project.lock}: {detail}", help=help)
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(project: Project, lease: Lease) -> None:
    document = {"version": _VERSION, **asdict(lease)}
    write_atomically(project.lease, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _read(project: Project) -> Lease | None:
    """The lease; None where there is none. One that cannot be read, or is of a newer version, has a holder
    who is not known, and beats when the file changes; its id is known where it says one."""
    try:
        text = project.lease.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return _unknown(project.lease)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _unknown(project.lease)
    match document:
        case {
            "version": 1,
            "id": str(id),
            "user": str(user),
            "host": str(host),
            "machine": str(machine),
            "pid": int(pid),
            "process": str(process),
            "since": str(since),
            "purpose": str(purpose),
            "heartbeat": int() | float() as heartbeat,
            "beats": int(beats),
            "expires_after_seconds": int() | float() as expires,
        } if pid > 0 and 0 <= heartbeat < _LAST_SECOND and 0 < expires < _LAST_SECOND:
            return Lease(
                id=id,
                user=user,
                host=host,
                machine=machine,
                pid=pid,
                process=process,
                since=since,
                purpose=purpose,
                heartbeat=float(heartbeat),
                beats=beats,
                expires_after_seconds=float(expires),
            )
        case {"id": str(id)}:
            return _unknown(project.lease, id)
        case _:
            return _unknown(project.lease)


def _unknown(path: Path, id: str = _UNREADABLE) -> Lease | None:
    try:
        changed = path.stat()
    except OSError:
        return None
    return Lease(
        id=id,
        user="nobody known",
        host="?",
        machine="?",
        pid=0,
        process="",
        since=datetime.fromtimestamp(changed.st_mtime, UTC).isoformat(timespec="seconds"),
        purpose=f"{path.name} cannot be read",
        heartbeat=changed.st_mtime,
        beats=changed.st_mtime_ns,
        expires_after_seconds=TIMING.expires_after,
    )


def _say_nothing(found: Diagnostic) -> None:
    del found
