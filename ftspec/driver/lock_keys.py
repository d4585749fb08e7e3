"""How a lock names what a spec asks for."""

import os
from pathlib import Path

_PATH_LIKE = ("./", "../", "/", "~")
_ABSOLUTE = ("/", "~", "${")
_STANDARD_LIBRARY = "stdlib"  # a source of type code that is no path


def model_key(base: str, revision: str | None, folder: Path, root: Path, *, origin: str = "") -> str:
    """`<base>[@revision]`; paths are relative to the lock, so that specs of several folders agree. `origin` is
    where the model was found: what looks like a name of the hub may be a folder."""
    name = (
        _from_root(base, folder, root)
        if base.startswith(_PATH_LIKE) or base in {".", ".."} or origin == "path"
        else base
    )
    return name if revision is None else f"{name}@{revision}"


def source_key(path: str, folder: Path, root: Path) -> str:
    if path == _STANDARD_LIBRARY:
        return path
    return _from_root(path, folder, root).removeprefix("./")


def _from_root(path: str, folder: Path, root: Path) -> str:
    """Absolute paths and variables stay as they are written."""
    if path.startswith(_ABSOLUTE):
        return path
    # Without the links of the way to the project, which are those of one machine.
    place = os.path.join(os.path.realpath(folder), path)  # noqa: PTH118 - normalised by relpath
    relative = Path(os.path.relpath(place, os.path.realpath(root))).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def resolved_revision(origin: str, location: Path) -> str | None:
    """The commit of a hub's snapshot, the version of a registered model."""
    return location.name if origin in ("hub-cache", "store") else None
