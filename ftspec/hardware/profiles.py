"""Machines by name or file: the profiles that ship with this package, and those that users save."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ftspec.diagnostics.codes import BAD_HARDWARE, UNKNOWN_HARDWARE
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.hardware.profile import Profile, profile_of
from ftspec.source.load import Document, load_document

_FOLDER = Path(__file__).resolve().parent / "profiles"
_HEADER = """\
# A machine to plan for: ftspec plan SPEC --hardware {name}
# The digest of this machine: {digest}
"""


def profile_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_hardware(name_or_path: str | Path) -> tuple[Hardware | None, Diagnostics]:
    """A shipped profile by its name (FTS309 if there is none), else a profile file (faults: FTS310)."""
    if str(name_or_path) in profile_names():
        return _load(_FOLDER / f"{name_or_path}.yaml")
    path = Path(name_or_path)
    if path.is_file():
        return _load(path)
    found = Diagnostics()
    names = ", ".join(profile_names())
    close = get_close_matches(str(name_or_path).lower(), profile_names(), n=1)
    guess = f"did you mean `{close[0]}`? " if close else ""
    found.add(
        UNKNOWN_HARDWARE,
        f"`{name_or_path}` is neither a shipped profile nor a file",
        help=f"{guess}shipped profiles: {names}",
    )
    return None, found


def load_profile(path: Path) -> tuple[Profile | None, Diagnostics]:
    """The file as it stands, with its description."""
    document, found = load_document(path)
    if document is None:
        return None, found
    try:
        profile = Profile.model_validate(document.tree)
    except ValidationError as error:
        found.extend(_faults(error, document))
        return None, found
    return (None if found.has_errors else profile), found


def shipped_profiles() -> tuple[Profile, ...]:
    """All that ship, by name; a fault in one of them is ours."""
    profiles = []
    for name in profile_names():
        profile, found = load_profile(_FOLDER / f"{name}.yaml")
        assert profile is not None, list(found)
        profiles.append(profile)
    return tuple(profiles)


def save_profile(hardware: Hardware, path: Path) -> None:
    """Writes the profile in one step; loading it gives the same digest. Raises OSError."""
    from ruamel.yaml import YAML

    profile = profile_of(hardware, _name_for(path))
    document: dict[str, Any] = profile.model_dump(exclude_none=True, exclude_defaults=True)
    document = {"name": profile.name, "os": profile.os} | document
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(_HEADER.format(name=path.name, digest=hardware.digest()))
            yaml.dump(document, file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> tuple[Hardware | None, Diagnostics]:
    profile, found = load_profile(path)
    return (None if profile is None else profile.hardware()), found


def _name_for(path: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("._-")[:63]
    return name or "saved"


def _faults(error: ValidationError, document: Document) -> Iterator[Diagnostic]:
    for fault in error.errors():
        loc = fault["loc"]
        unknown = fault["type"] == "extra_forbidden"
        known = get_close_matches(str(loc[-1]), _keys(), n=1) if unknown else []
        yield Diagnostic(
            code=BAD_HARDWARE,
            detail=f"`{'.'.join(str(part) for part in loc)}`{_message(fault)}",
            primary=document.span(loc, key=unknown),
            help=f"did you mean `{known[0]}`?" if known else "",
        )


def _message(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return " is not a key of a hardware profile"
    if fault["type"] == "missing":
        return " is missing"
    if fault["type"] == "string_pattern_mismatch" and fault["loc"][-1] == "memory":
        return " needs a size: a number and B, KiB, MiB, GiB or TiB, such as `24GiB`"
    return ": " + fault["msg"].removeprefix("Value error, ")


def _keys() -> set[str]:
    from ftspec.hardware.profile import AcceleratorProfile, CpuProfile

    return {key for part in (Profile, CpuProfile, AcceleratorProfile) for key in part.model_fields}
