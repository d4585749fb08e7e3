"""Small file operations that must not be seen half done."""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_LEFTOVER = re.compile(r"^\.(?:partial|trash)-([0-9a-f]{8})-(\d+)-")
_OF_EARLIER_RELEASES = re.compile(r"^\.(?:partial|trash)-\d+-")  # of which machine, they do not say
_LEFTOVER_SECONDS = 24 * 3600.0  # of another machine on the same disk, whose processes cannot be seen


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` in one step: a reader sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{_own_mark()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """64 hex digits over the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative POSIX name, path) of every file, in the order of their names."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def partial_path(parent: Path, name: str) -> Path:
    """Where a folder or file is put together before it is renamed to `parent/name`; no other has it."""
    return parent / f".partial-{_own_mark()}-{name}"


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder below `parent` that no other has, gone at the end."""
    folder = partial_path(parent, name)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Take a folder out of sight in one step, then delete it."""
    trash = retire(folder)
    if trash is not None:
        shutil.rmtree(trash)


def retire(folder: Path) -> Path | None:
    """The first half of `discard`: where the folder lies now, to be deleted. None: there was none."""
    if not folder.exists():
        return None
    trash = folder.parent / f".trash-{_own_mark()}-{folder.name}"
    folder.rename(trash)
    return trash


def clean_leftovers(parent: Path) -> int:
    """Delete what dead processes left half done directly below `parent`; how many there were."""
    if not parent.is_dir():
        return 0
    count = 0
    for path in parent.iterdir():
        match = _LEFTOVER.match(path.name)
        if match is None and _OF_EARLIER_RELEASES.match(path.name) is None:
            continue
        if match is not None and match[1] == _machine_mark():
            is_dead = not _process_exists(int(match[2]))
        else:
            is_dead = time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS
        if is_dead:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            count += 1
    return count


def _own_mark() -> str:
    """Machine, process, and a number that nobody else draws: processes of machines that share a disk have the
    same PIDs."""
    return f"{_machine_mark()}-{os.getpid()}-{secrets.token_hex(4)}"


@cache
def _machine_mark() -> str:
    from ftspec.store.processes import host_name, machine_id

    return hashlib.sha256(f"{host_name()}/{machine_id()}".encode()).hexdigest()[:8]


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
