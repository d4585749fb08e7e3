"""Where the packages of a backend are: the interpreter that a user named, an environment that was made for
the project, or the interpreter that runs now.

Layout below a project's state: `backends/<name>/named` (a link that says which interpreter; it is never
followed by the system) and `backends/<name>/<digest of the pins>/` (an environment; complete when it has its
marker, which is written last).
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.target import packages
from ftspec.target.model import Target
from ftspec.target.packages import PackageState, PackageStatus, is_usable

MARKER = "COMPLETE"
_NAMED = "named"
_DIGITS = 16
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?==[A-Za-z0-9.!+_]+( *;[^;\\]*)?$")


class EnvironmentKind(StrEnum):
    NAMED = "named"
    INSTALLED = "installed"
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendEnvironment:
    """An interpreter, and which packages of the backend it has."""

    kind: EnvironmentKind
    interpreter: Path
    python: str | None  # its version; None: it cannot be started
    packages: tuple[PackageStatus, ...]

    @property
    def usable(self) -> bool:
        return self.python is not None and is_usable(self.packages)

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the backend's packages that are there."""
        return {each.name: each.installed for each in self.packages if each.installed is not None}


def find_environment(state: Path, target: Target) -> BackendEnvironment | None:
    """Where a run of `target` happens; `state` is the state folder of the project.

    The interpreter that the user named wins, then the environment of the present pins, then this
    interpreter. A named one is returned also where it lacks packages (`usable` says so): falling back
    from it in silence would run something else than the user asked for.
    """
    environments = list_environments(state, target)
    for environment in environments:
        if environment.usable or environment.kind is EnvironmentKind.NAMED:
            return environment
    return None


def list_environments(state: Path, target: Target) -> tuple[BackendEnvironment, ...]:
    """Every place where the backend could run, in the order in which they are taken."""
    named = named_interpreter(state, target)
    folder = installed_folder(state, target)
    found = []
    if named is not None:
        found.append(examine(target, named, EnvironmentKind.NAMED))
    if folder is not None and (folder / MARKER).is_file():
        found.append(examine(target, interpreter_of(folder), EnvironmentKind.INSTALLED))
    return (*found, examine(target, Path(sys.executable), EnvironmentKind.PRESENT))


def require_environment(state: Path, target: Target) -> BackendEnvironment:
    """As `find_environment`. Raises FTS605 where none is usable, with the command that mends it."""
    environment = find_environment(state, target)
    if environment is not None and environment.usable:
        return environment
    if environment is not None:
        raise FtspecError(not_installed(target, environment))
    raise FtspecError(not_installed(target, examine(target, Path(sys.executable), EnvironmentKind.PRESENT)))


def not_installed(target: Target, environment: BackendEnvironment) -> Diagnostic:
    """FTS605: what `environment` lacks."""
    if environment.python is None:
        detail = f"{target.name}: {environment.interpreter} cannot be started"
    else:
        lacking = [each for each in environment.packages if each.state is not PackageState.OK]
        wants = "; ".join(
            f"{each.name} {each.required or 'any version'} ({each.installed or 'missing'})"
            for each in lacking
        )
        detail = f"{target.name}, {environment.interpreter}: {wants}"
    return Diagnostic(code=codes.BACKEND_NOT_INSTALLED, detail=detail, help=_remedy(target, environment))


def _remedy(target: Target, environment: BackendEnvironment) -> str:
    if environment.kind is EnvironmentKind.NAMED:
        return f"`ftspec backends remove {target.name}` forgets this interpreter"
    return f"{install_command(target)}   (`ftspec doctor` shows all)"


def install_command(target: Target) -> str:
    """The command that makes the backend usable here."""
    return target.install if target.requirements is None else f"ftspec backends install {target.name}"


def examine(target: Target, interpreter: Path, kind: EnvironmentKind) -> BackendEnvironment:
    """Asks `interpreter` what it has. One that cannot answer has no version and no packages."""
    try:
        python = _python_version(interpreter)
        statuses = packages.check_packages(target, interpreter)
    except (OSError, subprocess.SubprocessError, ValueError):
        python = None
        statuses = tuple(
            PackageStatus(name=name, required=required, installed=None, state=PackageState.MISSING)
            for name, required in target.packages.items()
        )
    return BackendEnvironment(kind=kind, interpreter=interpreter, python=python, packages=statuses)


def _python_version(interpreter: Path) -> str:
    if interpreter == Path(sys.executable):
        return platform.python_version()
    program = "import platform; print(platform.python_version())"
    done = subprocess.run(
        [str(interpreter), "-I", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    version = done.stdout.strip()
    if not re.fullmatch(r"3\.\d+\.\S+", version):
        raise ValueError(f"{interpreter} is not Python")
    return version


def backend_folder(state: Path, target: Target) -> Path:
    """What the project keeps of this backend's environments."""
    return state / "backends" / target.name


def named_interpreter(state: Path, target: Target) -> Path | None:
    link = backend_folder(state, target) / _NAMED
    return link.readlink() if link.is_symlink() else None


def name_interpreter(state: Path, target: Target, interpreter: Path | None) -> None:
    """Remember the user's own interpreter (an absolute path), or forget it."""
    link = backend_folder(state, target) / _NAMED
    if interpreter is None:
        link.unlink(missing_ok=True)
        return
    assert interpreter.is_absolute(), interpreter
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{_NAMED}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(interpreter)
    fresh.replace(link)


def installed_folder(state: Path, target: Target) -> Path | None:
    """Where the environment of the present pins lies or would lie; None for a backend without pins.

    Raises FTS501 when a file of pins says anything else than exact versions.
    """
    if target.requirements is None:
        return None
    text = "\n--no-deps\n".join("\n".join(read_pins(file)) for file in requirement_files(target))
    return backend_folder(state, target) / hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def interpreter_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def requirement_files(target: Target) -> tuple[Path, ...]:
    """The backend's files of pins; what the second one asks for is not looked at."""
    names = (target.requirements, target.requirements_no_deps)
    return tuple(target.folder / name for name in names if name is not None)


def read_pins(file: Path) -> tuple[str, ...]:
    """`name==version` with an optional marker, one a line, sorted.

    Raises FTS501 for every other line: ranges would make two environments of one digest differ, and
    options would let a file of pins say where packages come from.
    """
    lines = [line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    for line in pins:
        if not _PIN.match(line):
            raise FtspecError(
                Diagnostic(
                    code=codes.BAD_TARGET, detail=f"{file}: `{line}` is not a pin such as `torch==2.13.0`"
                )
            )
    return tuple(sorted(pins))
