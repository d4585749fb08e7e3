"""SHA-256 of files, remembered by size, modification time and inode.

A warm plan only stats its inputs. Content decides: when any of the three moved, the file is read again.
"""

import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType

_FILE_NAME = "digests.json"
_VERSION = 1
_RACY_NS = 50_000_000  # a file changed this recently could change again within one tick of its clock

_Stamp = tuple[int, int, int]  # size, mtime_ns, inode


class DigestCache:
    """`DigestCache(folder).sha256(path)`; inside a `with` block it is saved once, at its end.

    `cache_folder` None remembers nothing on disk. A damaged or unwritable cache file costs time, never
    a wrong digest: entries are used only when path, size, mtime_ns and inode all match.
    """

    def __init__(self, cache_folder: Path | None) -> None:
        self._file = None if cache_folder is None else cache_folder / _FILE_NAME
        self._entries: dict[str, tuple[_Stamp, str]] = _read(self._file)
        self._added: dict[str, tuple[_Stamp, str]] = {}
        self._folders: dict[str, str] = {}  # folder as given -> without links
        self._deferred = False

    def __enter__(self) -> "DigestCache":
        self._deferred = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deferred = False
        self.save()

    def sha256(self, path: Path) -> str:
        """64 hex digits over the bytes of a file (links are followed). Raises OSError as `open` does."""
        name = self._real(path)
        before = _stamp(name)
        known = self._entries.get(name)
        if known is not None and known[0] == before:
            return known[1]
        with open(name, "rb") as file:  # noqa: PTH123 - the resolved name is already a string
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _stamp(name) == before and time.time_ns() - before[1] > _RACY_NS:
            self._entries[name] = self._added[name] = (before, digest)
            if not self._deferred:
                self.save()
        return digest

    def _real(self, path: Path) -> str:
        """As os.path.realpath, with the folders of many files resolved once."""
        if os.path.islink(path):  # noqa: PTH114 - half the time of Path's own
            return os.path.realpath(path)
        given, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        folder = self._folders.get(given)
        if folder is None:
            folder = self._folders[given] = os.path.realpath(given)
        return os.path.join(folder, name)  # noqa: PTH118 - strings throughout

    def save(self) -> None:
        """Write new entries, merged with what other processes saved meanwhile; atomic by rename."""
        if self._file is None or not self._added:
            return
        merged = _read(self._file) | self._added
        document = {
            "version": _VERSION,
            "files": {name: [*stamp, digest] for name, (stamp, digest) in sorted(merged.items())},
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=_FILE_NAME)
        except OSError:
            return  # a read-only project can still be planned
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
            Path(temporary).replace(self._file)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            return
        self._added.clear()


def _stamp(name: str) -> _Stamp:
    status = os.stat(name)  # noqa: PTH116 - the resolved name is already a string
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read(file: Path | None) -> dict[str, tuple[_Stamp, str]]:
    if file is None:
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict) or document.get("version") != _VERSION:
        return {}
    entries: dict[str, tuple[_Stamp, str]] = {}
    for name, value in files.items():
        match value:
            case [int(size), int(mtime), int(inode), str(digest)] if len(digest) == 64:
                entries[name] = ((size, mtime, inode), digest)
            case _:
                continue
    return entries
