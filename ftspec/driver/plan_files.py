"""The folder of plan files: each with its digest in a list, as `sha256sum --check` takes it.

A file is listed before it is written. So the next call knows what a broken-off one left and removes it, and a
folder that was left half done does not agree with its own list.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from ftspec.store.files import file_sha256, write_atomically

SUMS_NAME = "SHA256SUMS"
COMMENT_NAME = "comment.md"
_ENDING = ".ftplan"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def clear(folder: Path) -> None:
    """Remove what an earlier call wrote here, by its own list: a file that is no longer as listed is another's."""
    for digest, name in _listed(folder / SUMS_NAME):
        path = folder / name
        if path.is_file() and file_sha256(path) == digest:
            path.unlink()
    (folder / SUMS_NAME).unlink(missing_ok=True)
    (folder / COMMENT_NAME).unlink(missing_ok=True)


class PlanFiles:
    """Use as `with`, on a folder without a list; at the end the list stands, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums: list[str] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
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


def _listed(sums: Path) -> Iterator[tuple[str, str]]:
    """Digest and name of plan files, by the list that stands beside them; only names, never paths."""
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        digest, _, name = line.partition("  ")
        if name.endswith(_ENDING) and name == Path(name).name:
            yield digest, name
