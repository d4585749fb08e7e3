"""Are the packages of a backend installed, in versions that it works with? Nothing is imported."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ftspec.target.model import TargetFile

_LOOK_UP = """\
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class PackageState(StrEnum):
    OK = "ok"
    MISSING = "missing"
    TOO_OLD = "too_old"
    OUT_OF_RANGE = "out_of_range"  # too new, or excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageStatus:
    name: str
    required: str  # as target.yaml writes it; may be empty: any version
    installed: str | None
    state: PackageState


def check_packages(target: TargetFile, interpreter: Path | None = None) -> tuple[PackageStatus, ...]:
    """One status for each package that the target names, in its order.

    `interpreter`: another Python to look into. Raises OSError or subprocess.SubprocessError when it
    cannot be asked.
    """
    names = list(target.packages)
    if interpreter is None or interpreter == Path(sys.executable):
        versions = _own_versions(names)
    else:
        versions = _versions_of(interpreter, names)
    return tuple(
        PackageStatus(
            name=name,
            required=required,
            installed=versions.get(name),
            state=_state(versions.get(name), required),
        )
        for name, required in target.packages.items()
    )


def is_usable(statuses: Sequence[PackageStatus]) -> bool:
    return all(status.state is PackageState.OK for status in statuses)


def _own_versions(names: Sequence[str]) -> Mapping[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _versions_of(interpreter: Path, names: Sequence[str]) -> Mapping[str, str]:
    done = subprocess.run(
        [str(interpreter), "-I", "-c", _LOOK_UP, *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def _state(installed: str | None, required: str) -> PackageState:
    if installed is None:
        return PackageState.MISSING
    try:
        version = Version(installed)
    except InvalidVersion:
        return PackageState.OUT_OF_RANGE
    failing = [part for part in SpecifierSet(required) if not part.contains(version, prereleases=True)]
    if not failing:
        return PackageState.OK
    return (
        PackageState.TOO_OLD
        if any(_is_below(version, part) for part in failing)
        else PackageState.OUT_OF_RANGE
    )


def _is_below(version: Version, part: Specifier) -> bool:
    """True for a lower bound (or an exact version) that lies above `version`."""
    return part.operator in {">=", ">", "~=", "==", "==="} and version < Version(
        part.version.removesuffix(".*")
    )
