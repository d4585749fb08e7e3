"""Trees of target.yaml files, remembered by content: parsing YAML takes longer than all else with them."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_VERSION = 1  # raise it when YAML is read differently


class TreeMemo:
    """What a file without faults says, in `folder`. A memo that cannot be read or written costs time only.

    A file that may extend others is never remembered: its content alone does not say what it means.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tree(self, file: Path) -> dict[str, Any] | None:
        """The tree of `file` as it is now; None when it is not remembered."""
        try:
            entry = self._entry(file.read_bytes())
            tree = None if entry is None else json.loads(entry.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return tree if isinstance(tree, dict) else None

    def keep(self, file: Path, tree: dict[str, Any]) -> None:
        """Remember the tree that was read from `file`."""
        try:
            entry = self._entry(file.read_bytes())
            if entry is None:
                return
            entry.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=entry.parent, prefix=entry.name)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(tree, out, ensure_ascii=False)
            Path(temporary).replace(entry)
        except OSError:
            return

    def _entry(self, data: bytes) -> Path | None:
        if b"extends" in data:
            return None
        return self._folder / f"{hashlib.sha256(data).hexdigest()[:40]}-{_VERSION}.json"
