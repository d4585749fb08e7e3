"""The folder of plan files: each with its digest in a list, as `sha256sum --check` takes it.

A file is listed before it is written. So the next call knows what a broken-off one left and removes it, and a
folder that was left half done does not agree with its own list. What no list of ours names is somebody else's.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.store.files import file_sha256, write_atomically

SUMS_NAME = "SHA256SUMS"
COMMENT_NAME = "comment.md"
_COMMENT_BEGINS = b"<!-- ftspec:plan -->"
_ENDING = ".ftplan"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_LINE = re.compile(rf"([0-9a-f]{{64}})  ([A-Za-z0-9_][A-Za-z0-9._-]*{re.escape(_ENDING)})")


def in_the_way(folder: Path, names: Iterable[str]) -> Diagnostics:
    """FTS674 for each file that plan files of these names, their list or the comment would replace, and that no
    earlier call left as it is. Changes nothing."""
    found = Diagnostics()
    listed, comment = _listed(folder), folder / COMMENT_NAME
    if listed is None:
        _refuse(found, folder / SUMS_NAME, "it is no list of plan files alone")
    if os.path.lexists(comment) and not _begins(comment, _COMMENT_BEGINS):
        _refuse(found, comment, f"it does not begin with {_COMMENT_BEGINS.decode()}")
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not _is_as_listed(path, listed or ()):
            _refuse(found, path, f"{SUMS_NAME} does not list it as it is")
    return found


class PlanFiles:
    """Use as `with`, where nothing is `in_the_way`: what an earlier call left goes; at the end the list stands, in
    order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: list[str] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / COMMENT_NAME).unlink(missing_ok=True)
        listed = _listed(self._folder) or ()
        for _, name in listed:
            if _is_as_listed(self._folder / name, listed):
                (self._folder / name).unlink()
        write_atomically(self._folder / SUMS_NAME, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            write_atomically(self._folder / SUMS_NAME, "".join(f"{line}\n" for line in sorted(self._sums)))

    def write(self, name: str, text: str) -> Path:
        """The path of the file."""
        line = f"{hashlib.sha256(text.encode()).hexdigest()}  {name}"
        with (self._folder / SUMS_NAME).open("a", encoding="utf-8") as sums:
            sums.write(f"{line}\n")
        self._sums.append(line)
        write_atomically(self._folder / name, text)
        return self._folder / name


def file_names(specs: Iterable[Path], root: Path) -> dict[Path, str]:
    """A plan file's name for each spec: that of the spec where no other one has it, else with its folders."""
    paths = list(specs)
    stems = Counter(path.stem for path in paths)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        parts = (path.relative_to(root) if path.is_relative_to(root) else path).with_suffix("").parts
        wanted = _NOT_IN_A_NAME.sub("_", path.stem if stems[path.stem] == 1 else "-".join(parts)).lstrip(".-")
        name, number = wanted or "spec", 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted or 'spec'}-{number}"
        taken.add(name.lower())
        names[path] = name + _ENDING
    return names


_Listed = Iterable[tuple[str, str]]  # digest and name; names only, never paths


def _listed(folder: Path) -> _Listed | None:
    """Nothing where there is no list; None where what stands there is not ours."""
    try:
        lines = (folder / SUMS_NAME).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError):
        return None
    matches = [_LINE.fullmatch(line) for line in lines]
    return None if None in matches else {(match[1], match[2]) for match in matches if match is not None}


def _is_as_listed(path: Path, listed: _Listed) -> bool:
    """Files of other names are not read."""
    digests = [digest for digest, name in listed if name == path.name]
    return bool(digests) and path.is_file() and file_sha256(path) in digests


def _begins(path: Path, words: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(words)) == words
    except OSError:
        return False


def _refuse(found: Diagnostics, path: Path, why: str) -> None:
    found.add(
        codes.PLAN_FOLDER_TAKEN,
        f"{path}: {why}",
        help="name another folder with --out-dir; where nobody needs the file, remove it",
    )
