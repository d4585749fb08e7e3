"""What models answered, by content: `.ftspec/synth/<task>/<recipe>.jsonl`.

The first line of a file is the recipe, every other one a result. Lines are appended in one write each, so
a run that is stopped keeps all that it finished. A line that is damaged is as good as none.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.synth.ask import Ask, Recipe, Result

FOLDER = "synth"  # below .ftspec
_FORMAT = 1
_RESULT_FIELDS = frozenset(Result.__dataclass_fields__)


class Cache:
    """`get` and `put` results. Reading needs no folder, and writes none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, dict[str, Result]] = {}
        self._files: dict[str, int] = {}  # digest of a recipe -> open file
        self.damaged = 0  # lines that could not be read

    def get(self, recipe_digest: str, task: str, key: str) -> Result | None:
        if recipe_digest not in self._loaded:
            self._loaded[recipe_digest] = self._read(self._path(recipe_digest, task))
        return self._loaded[recipe_digest].get(key)

    def put(self, ask: Ask, result: Result) -> None:
        """Raises OSError as `write` does: a full disk ends the run, with everything before it kept."""
        recipe_digest = ask.recipe_digest
        if recipe_digest not in self._files:
            self._files[recipe_digest] = self._open(recipe_digest, ask.recipe)
        body = {"key": ask.key, **asdict(result)}
        _append(self._files[recipe_digest], {**body, "check": _check(body)})
        if recipe_digest in self._loaded:
            self._loaded[recipe_digest][ask.key] = result

    def close(self) -> None:
        for handle in self._files.values():
            os.close(handle)
        self._files.clear()

    def _path(self, recipe_digest: str, task: str) -> Path:
        return self._folder / task / f"{recipe_digest[:24]}.jsonl"

    def _open(self, recipe_digest: str, recipe: Recipe) -> int:
        path = self._path(recipe_digest, recipe.task.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(handle).st_size
        if size == 0:
            _append(handle, {"format": _FORMAT, "recipe": recipe.document()})
        elif os.pread(handle, 1, size - 1) != b"\n":
            os.write(handle, b"\n")  # behind a line that was cut off
        return handle

    def _read(self, path: Path) -> dict[str, Result]:
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        results: dict[str, Result] = {}
        for line in lines:
            try:
                found = _parse(line)
            except (ValueError, RecursionError):
                self.damaged += 1
                continue
            if found is not None:
                results[found[0]] = found[1]
        return results


def _append(handle: int, value: dict[str, Any]) -> None:
    data = (json.dumps(value, ensure_ascii=False) + "\n").encode()
    while data:
        data = data[os.write(handle, data) :]


def _check(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(line: bytes) -> tuple[str, Result] | None:
    """(key, result), or None for the line of the recipe. Raises ValueError for a damaged line."""
    if not line.strip():
        return None
    body = json.loads(line.decode("utf-8"))
    if not isinstance(body, dict):
        raise ValueError("not an object")
    if body.get("format") == _FORMAT:
        return None
    claimed, key = body.pop("check", None), body.get("key")
    if claimed != _check(body) or not isinstance(key, str):
        raise ValueError("does not have the digest that it states")
    del body["key"]
    if body.keys() != _RESULT_FIELDS:
        raise ValueError("has other fields")
    return key, Result(**body)
