"""Small file operations that must not be seen half done."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_LEFTOVER = re.compile(r"^\.(partial|trash)-(\d+)-")
_LEFTOVER_SECONDS = 24 * 3600.0  # of another machine on the same disk, whose processes cannot be seen


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` in one step: a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(mode)
    temporary.replace(path)


def file_sha256(path: Path) -> str:
    """64 hex digits over the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative POSIX name, path) of every file, in the order of their names."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def partial_path(parent: Path, name: str) -> Path:
    """Where a folder is put together before it is renamed to `parent/name`."""
    return parent / f".partial-{os.getpid()}-{name}"


def discard(folder: Path) -> None:
    """Take a folder out of sight in one step, then delete it."""
    if not folder.exists():
        return
    trash = folder.parent / f".trash-{os.getpid()}-{time.monotonic_ns()}-{folder.name}"
    folder.rename(trash)
    shutil.rmtree(trash)


def clean_leftovers(parent: Path) -> int:
    """Delete what dead processes left half done directly below `parent`; the number of folders."""
    if not parent.is_dir():
        return 0
    count = 0
    for path in parent.iterdir():
        match = _LEFTOVER.match(path.name)
        if match is None or int(match[2]) == os.getpid():
            continue
        if _process_exists(int(match[2])) and time.time() - path.stat().st_mtime < _LEFTOVER_SECONDS:
            continue
        shutil.rmtree(path)
        count += 1
    return count


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
