"""Environments of backends: made from pins, named by the user, or removed. Nothing outside of the project's
state folder is written, and nothing is installed on the system."""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.run.logtext import MASK, clean_line, secrets_of
from ftspec.store.files import discard, write_atomically
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.target.environments import (
    MARKER,
    BackendEnvironment,
    EnvironmentKind,
    backend_folder,
    examine,
    installed_folder,
    interpreter_of,
    name_interpreter,
    named_interpreter,
    not_installed,
    read_pins,
    requirement_files,
)
from ftspec.target.model import Target

_TAIL_LINES = 12
_SHORTEST_SECRET = 6  # a shorter one is masked inside of URLs only, or it would mask ordinary words
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # of a URL: user, or user:password
_FOUND = re.compile(
    r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)|Processing (?:.*/)?([A-Za-z0-9._]+)-"
)
# What would lead pip to another place than the environment, or Python to packages of another one.
_DIVERTING = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER",
              "PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_DRY_RUN", "PIP_PYTHON", "PIP_NO_DEPS"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallProgress:
    """`done` of `total` packages were found; while they are unpacked, which pip does in silence, the two
    are equal."""

    step: str  # creating | collecting | installing
    done: int
    total: int
    package: str = ""


Observe = Callable[[InstallProgress], None]


def install_log(project: Project, target: Target) -> Path | None:
    """Where pip's words of the last installation of the present pins are kept."""
    folder = installed_folder(project.state, target)
    return None if folder is None else folder.with_name(f"{folder.name}.log")


def install_backend(
    project: Project, target: Target, *, observe: Observe, again: bool = False
) -> BackendEnvironment:
    """Make the environment of the backend's pins, unless it is there and whole. `again`: also then.

    It is complete or absent: what an interrupted installation left is deleted first. Raises FTS601 when
    another installation of this backend runs, FTS660 when pip fails or the backend has no pins, FTS605
    when the packages are there and yet not those that the backend needs.
    """
    folder = installed_folder(project.state, target)
    if folder is None:
        raise FtspecError(
            Diagnostic(
                code=codes.BACKEND_NOT_INSTALLABLE,
                detail=f"{target.name} names no exact versions",
                help=f"{target.install}, or `ftspec backends use {target.name} --python PATH`",
            )
        )
    project.create()
    with _install_lock(project, target) as lock:
        if not again and (folder / MARKER).is_file():
            present = examine(target, interpreter_of(folder), EnvironmentKind.INSTALLED)
            if present.usable:
                return present
        discard(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make(folder, target, observe, lock)
        environment = examine(target, interpreter_of(folder), EnvironmentKind.INSTALLED)
        if not environment.usable:
            raise FtspecError(not_installed(target, environment))
        document = {
            "backend": target.name,
            "python": environment.python,
            "versions": dict(environment.versions),
            "installed": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(folder / MARKER, json.dumps(document) + "\n")
    _discard_superseded(project, folder)
    return environment


def use_interpreter(project: Project, target: Target, interpreter: Path) -> BackendEnvironment:
    """From now on runs of this backend happen in the user's own interpreter (an absolute path).

    Raises FTS605 when it lacks packages; then nothing changes.
    """
    environment = examine(target, interpreter, EnvironmentKind.NAMED)
    if not environment.usable:
        fault = not_installed(target, environment)
        raise FtspecError(
            Diagnostic(code=fault.code, detail=fault.detail, help="install them there, or name another one")
        )
    project.create()
    name_interpreter(project.state, target, interpreter)
    return environment


def remove_backend(project: Project, target: Target, *, notify: Notify | None = None) -> tuple[Path, ...]:
    """Delete every environment that was installed for the backend, and forget a named interpreter, which
    itself stays. Returns what went. Raises FTS601 while a run or an installation goes on."""
    folder = backend_folder(project.state, target)
    if not folder.is_dir():
        return ()
    with (
        project_lease(project, f"backends remove {target.name}", notify=notify),
        _install_lock(project, target),
    ):
        named = named_interpreter(project.state, target)
        name_interpreter(project.state, target, None)
        gone = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        for path in gone:
            discard(path)
        for log in folder.glob("*.log"):
            log.unlink()
    return (*gone, *(() if named is None else (named,)))


def _make(folder: Path, target: Target, observe: Observe, lock: IO[bytes]) -> None:
    """The environment without its marker. FTS660 with the end of pip's words where it cannot be made."""
    total = sum(len(read_pins(file)) for file in requirement_files(target))
    variables = _variables(target)
    log_path = folder.with_name(f"{folder.name}.log")
    python = str(interpreter_of(folder))
    pip = [python, "-I", "-m", "pip", "install", "--progress-bar", "off", "--no-color", "-r"]
    commands = [[sys.executable, "-I", "-m", "venv", str(folder)]]
    for number, file in enumerate(requirement_files(target)):
        commands.append([*pip, str(file), *(["--no-deps"] if number else [])])
    observe(InstallProgress(step="creating", done=0, total=total))
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    seen: set[str] = set()
    with log_path.open("w", encoding="utf-8") as log:
        for command in commands:
            log.write(f"$ {' '.join(command)}\n")
            with _child(command, variables, lock) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    text = clean_line(line, _secrets(variables))
                    text = _CREDENTIALS.sub(MASK, text)
                    log.write(text + "\n")
                    log.flush()
                    tail.append(text)
                    _tell(text, seen, total, observe)
                status = child.wait()
            if status != 0:
                raise FtspecError(
                    Diagnostic(
                        code=codes.BACKEND_NOT_INSTALLABLE,
                        detail=f"{target.name}, exit code {status}\n" + "\n".join(tail),
                        help=f"the whole log: {log_path}",
                    )
                )


def _tell(line: str, seen: set[str], total: int, observe: Observe) -> None:
    """Pip's words as progress."""
    found = _FOUND.match(line)
    if found:
        package = found[1] or found[2]
        seen.add(package.lower().replace("_", "-"))
        done = min(len(seen), total)
        observe(InstallProgress(step="collecting", done=done, total=total, package=package))
    elif line.startswith("Installing collected packages"):
        observe(InstallProgress(step="installing", done=min(len(seen), total), total=total))


@contextmanager
def _child(
    command: list[str], variables: Mapping[str, str], lock: IO[bytes]
) -> Iterator["subprocess.Popen[str]"]:
    """The child holds the lock too: should this process be killed, nobody writes into the environment
    beside a pip that still runs."""
    child = subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        pass_fds=(lock.fileno(),),
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _variables(target: Target) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _DIVERTING}
    return {**kept, **target.environment, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _secrets(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Values that must not reach the log: of variables with telling names, and what stands before the `@`
    of any URL, for instance in PIP_INDEX_URL."""
    parts: set[str] = set()
    for value in variables.values():
        for credentials in _CREDENTIALS.findall(value):
            password = credentials.partition(":")[2] or credentials
            parts |= {credentials, unquote(credentials), password, unquote(password)}
    found = {part for part in parts if len(part) >= _SHORTEST_SECRET} | set(secrets_of(variables))
    return tuple(sorted(found, key=lambda part: (-len(part), part)))


@contextmanager
def _install_lock(project: Project, target: Target) -> Iterator[IO[bytes]]:
    path = backend_folder(project.state, target) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            detail = f"another installation of {target.name} runs in this project"
            raise FtspecError(
                Diagnostic(code=codes.LOCKED, detail=detail, help="wait for it to end, or stop it")
            ) from error
        yield file


def _discard_superseded(project: Project, current: Path) -> None:
    """Environments of earlier pins take gigabytes. A run may use one: then the next installation does it."""
    try:
        with project_lease(project, "ftspec backends install"):
            for path in current.parent.iterdir():
                if path.is_dir() and path != current:
                    discard(path)
    except FtspecError:
        return
