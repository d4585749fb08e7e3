"""Starts the programs of a run folder and stays with them until they end.

The child gets a process group of its own, and a pipe as its stdin that nobody writes to: when this
process dies, however it dies, the child reads the end of the pipe and stops by itself.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import find_code
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.run.events import EVENTS_FILE, Event, drop_torn_line, read_events
from ftspec.run.folder import LOG_FILE
from ftspec.run.logtext import clean_tail, mask, secrets_of

EXIT_CHECK_FAILED = 20
EXIT_INTERRUPTED = 130
_POLL_SECONDS = 0.1
_TERMINATE_SECONDS = 5.0  # between SIGTERM and SIGKILL
_TAIL_LINES = 15
_TAIL_BYTES = 64 * 1024
_INTERRUPT_EXITS = (EXIT_INTERRUPTED, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)
_REMEDIES = {  # of checks that programs make while they train
    "FTS607": "lower train.learning_rate, or set resources.precision: fp32",
    "FTS608": "lower train.learning_rate",
    "FTS609": "lower train.learning_rate, and look whether training pairs differ at all; where such embeddings are "
    "meant, raise train.checks.max_mean_cosine",
    "FTS650": "lower train.learning_rate, or warm up for longer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """`diagnostics` is empty exactly when the run succeeded. `exit_code` is negative for a signal."""

    exit_code: int
    seconds: float
    error: Event | None  # the last error event of this launch
    tail: tuple[str, ...]  # of the log, cleaned
    diagnostics: tuple[Diagnostic, ...]

    @property
    def succeeded(self) -> bool:
        return not self.diagnostics


@dataclass(slots=True)
class _Stop:
    """How often the user asked to stop."""

    asked: int = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1


def launch(
    folder: Path,
    *,
    on_event: Callable[[Event], None],
    interpreter: str | None = None,
    environment: Mapping[str, str] | None = None,
    stop_seconds: float = 30.0,
    orphan_seconds: float = 20.0,
) -> RunOutcome:
    """Run `launch.sh` of `folder` (with PYTHON set to `interpreter`), or its `main.py` where there is no
    launch.sh, and call `on_event` for each event of this launch as it comes.

    `environment` is added to this process's own. Ctrl-C or SIGTERM asks the child to stop; it has
    `stop_seconds` to save a checkpoint. A second one kills it. Raises FTS601 when a child of an earlier
    launch still lives after `orphan_seconds`.
    """
    interpreter = interpreter or sys.executable
    script = folder / "launch.sh"
    command = ["bash", script.name] if script.is_file() else [interpreter, "main.py"]
    variables = {
        **os.environ,
        "PYTHON": interpreter,
        "PYTHONUNBUFFERED": "1",
        **(environment or {}),
        "FTSPEC_WATCH_STDIN": "1",
    }
    _wait_for_orphan(folder / ".lock", orphan_seconds)
    events_path, log_path = folder / EVENTS_FILE, folder / LOG_FILE
    offset = drop_torn_line(events_path)
    started = time.monotonic()
    with log_path.open("ab") as log, _catch_signals() as stop:
        log_start = log.tell()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            error = _follow(
                child, events_path, offset, on_event=on_event, stop=stop, stop_seconds=stop_seconds
            )
        finally:
            _end_group(child)
    secrets = secrets_of(variables)
    _mask_log(log_path, log_start, secrets)
    tail = clean_tail(_read_end(log_path, log_start), _TAIL_LINES, secrets)
    code = child.returncode
    return RunOutcome(
        exit_code=code,
        seconds=time.monotonic() - started,
        error=error,
        tail=tail,
        diagnostics=_diagnose(code, error, tail, log_path, stopped=stop.asked > 0),
    )


def _follow(
    child: subprocess.Popen[bytes],
    events_path: Path,
    offset: int,
    *,
    on_event: Callable[[Event], None],
    stop: _Stop,
    stop_seconds: float,
) -> Event | None:
    """Until the child has ended and its last event was read; the last error event."""
    error: Event | None = None
    handled = 0
    deadline = float("inf")
    terminated = False
    while True:
        ended = child.poll() is not None  # looked at before the read, so that nothing is missed after it
        events, offset = read_events(events_path, offset)
        for event in events:
            error = event if event.event == "error" else error
            on_event(event)
        if ended:
            return error
        if stop.asked > handled:
            _signal_group(child, signal.SIGINT if handled == 0 and stop.asked == 1 else signal.SIGKILL)
            deadline = time.monotonic() + stop_seconds if handled == 0 else deadline
            handled = stop.asked
        if time.monotonic() > deadline:
            _signal_group(child, signal.SIGKILL if terminated else signal.SIGTERM)
            terminated, deadline = True, time.monotonic() + _TERMINATE_SECONDS
        try:
            child.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _catch_signals() -> Iterator[_Stop]:
    """Count SIGINT and SIGTERM instead of dying in the middle of a callback. Only the main thread may
    set handlers; elsewhere its owner decides."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return  # the whole group has ended meanwhile


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """No process of the run outlives its launch: not the child when a callback raised, and no worker
    that the child left behind. Closing the pipe tells those that watch it."""
    stdin: IO[bytes] | None = child.stdin
    if stdin is not None:
        stdin.close()
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        try:
            child.wait(_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
            child.wait()
    _signal_group(child, signal.SIGKILL)


def _wait_for_orphan(lock: Path, wait_seconds: float) -> None:
    """The programs hold `lock` while they live. Wait for one whose parent died to notice that."""
    deadline = time.monotonic() + wait_seconds
    with lock.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return  # closing the file lets go again, for the new child to take it
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    detail = f"a trainer of run {lock.parent.name} still runs after {wait_seconds:g} s"
                    raise FtspecError(
                        Diagnostic(code=codes.LOCKED, detail=detail, help="wait for it to end, or stop it")
                    ) from error
            time.sleep(_POLL_SECONDS)


def _diagnose(
    code: int, error: Event | None, tail: tuple[str, ...], log_path: Path, *, stopped: bool
) -> tuple[Diagnostic, ...]:
    if code == 0:
        return ()
    if code == EXIT_CHECK_FAILED and error is not None:
        known = find_code(str(error.values.get("code", "")))
        detail = str(error.values.get("detail", ""))
        if known is not None:
            return (
                Diagnostic(
                    code=known,
                    detail=f"{error.stage}: {detail}" if error.stage else detail,
                    help=_REMEDIES.get(known.id, f"ftspec explain {known.id}"),
                ),
            )
    if stopped or code in _INTERRUPT_EXITS:
        return (
            Diagnostic(
                code=codes.INTERRUPTED,
                detail=f"run {log_path.parent.name}",
                help="`ftspec apply` again resumes from the last checkpoint",
            ),
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    lines = "\n".join(tail) if tail else "the log is empty"
    help = f"the whole log: ftspec logs {log_path.parent.name}"
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        help = "signal KILL often means that the machine ran out of memory; " + help
    return (Diagnostic(code=codes.TRAINING_FAILED, detail=f"{how}\n{lines}", help=help),)


def _read_end(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL_BYTES))
        return file.read()


def _mask_log(path: Path, start: int, secrets: tuple[str, ...]) -> None:
    """Rewrite what this launch logged when a secret stands in it."""
    with path.open("r+b") as file:
        file.seek(start)
        data = file.read()
        if not any(secret.encode() in data for secret in secrets):
            return
        text = data.decode("utf-8", errors="surrogateescape")
        file.seek(start)
        file.write(mask(text, secrets).encode("utf-8", errors="surrogateescape"))
        file.truncate()
