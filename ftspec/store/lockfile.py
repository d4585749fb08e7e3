"""ftspec.lock: what the specs of a project were resolved to. Committed by users, and the same on any machine.

One JSON document with sorted keys, so that two branches conflict only where both moved the same entry.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import Code
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.plan.contract import Lock, LockedModel, LockedSource, model_digest
from ftspec.plan.frozen import FrozenMap

LOCK_NAME = "ftspec.lock"
LOCK_VERSION = 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7})( |$)", re.MULTILINE)
_WRITE = "delete it, and write it again: ftspec lock"


class _ShapeError(ValueError):
    """Where the document is not what this version writes."""


def lock_path(root: Path) -> Path:
    return root / LOCK_NAME


def read_lock(root: Path) -> tuple[Lock | None, Diagnostics]:
    """The lock at the root of a project; None without diagnostics where there is no file.

    FTS631 for a conflict of git, half a file, or what was edited by hand; FTS632 for a newer version.
    """
    found = Diagnostics()
    path = lock_path(root)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, found
    except (OSError, UnicodeDecodeError) as error:
        found.add(codes.LOCK_NOT_READABLE, f"{LOCK_NAME}: {error}", help=_WRITE)
        return None, found
    return parse_lock(text, LOCK_NAME)


def parse_lock(text: str, name: str) -> tuple[Lock | None, Diagnostics]:
    """A lock from its text, which may come out of a git revision. `name` is for messages."""
    lock, faults = _parsed(text, name)
    return lock, Diagnostics([*faults])


@lru_cache(maxsize=4)  # hundreds of specs share one lock
def _parsed(text: str, name: str) -> tuple[Lock | None, tuple[Diagnostic, ...]]:

    def refuse(
        detail: str, help: str, code: Code = codes.LOCK_NOT_READABLE
    ) -> tuple[None, tuple[Diagnostic, ...]]:
        return None, (Diagnostic(code=code, detail=f"{name}{detail}", help=help),)

    conflict = _CONFLICT.search(text)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        return refuse(
            f":{line}: a conflict of git is not settled",
            f"git checkout --ours {LOCK_NAME}, then: ftspec lock",
        )
    try:
        document = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        cut = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        return refuse(" ends in the middle" if cut else f" is not JSON: {error}", _WRITE)
    if isinstance(document, dict) and type(document.get("version")) is int:
        version = document["version"]
        if version > LOCK_VERSION:
            return refuse(
                f" has version {version}, made by a newer ftspec; this one reads {LOCK_VERSION}",
                f"update ftspec, or {_WRITE}",
                codes.LOCK_VERSION,
            )
    try:
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair cannot be written
        return _lock(document), ()
    except (_ShapeError, UnicodeEncodeError, RecursionError) as error:
        return refuse(f": {error}", _WRITE)


def lock_text(lock: Lock) -> str:
    """The content of the file."""
    document = {
        "version": LOCK_VERSION,
        "models": {
            key: {"revision": each.revision, "digest": each.digest, "files": dict(each.files)}
            for key, each in lock.models.items()
        },
        "data": {
            key: {
                "type": each.type,
                "digest": each.digest,
                "rows": each.rows,
                "columns": list(each.columns),
            }
            for key, each in lock.data.items()
        },
        "packages": {key: dict(each) for key, each in lock.packages.items()},
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _lock(document: Any) -> Lock:
    _keys(document, "the document", {"version", "models", "data", "packages"})
    if document["version"] != LOCK_VERSION or type(document["version"]) is not int:
        raise _ShapeError(f"`version` is not {LOCK_VERSION}")
    for section in ("models", "data", "packages"):
        if not isinstance(document[section], dict):
            raise _ShapeError(f"`{section}` is not an object")
    return Lock(
        models=FrozenMap({key: _model(key, each) for key, each in document["models"].items()}),
        data=FrozenMap({key: _source(key, each) for key, each in document["data"].items()}),
        packages=FrozenMap(
            {key: _texts(f"packages.{key}", each) for key, each in document["packages"].items()}
        ),
    )


def _model(key: str, value: Any) -> LockedModel:
    place = f"models.{key}"
    _keys(value, place, {"revision", "digest", "files"})
    files = _texts(f"{place}.files", value["files"])
    if value["revision"] is not None and not isinstance(value["revision"], str):
        raise _ShapeError(f"`{place}.revision` is not text")
    if not all(_HEX.fullmatch(digest) for digest in files.values()):
        raise _ShapeError(f"`{place}.files` holds what is no sha256: it was edited by hand")
    if value["digest"] != model_digest(files):
        raise _ShapeError(
            f"`{place}.digest` is not that of its files: it was edited by hand, or merged in part"
        )
    return LockedModel(revision=value["revision"], digest=value["digest"], files=files)


def _source(key: str, value: Any) -> LockedSource:
    place = f"data.{key}"
    _keys(value, place, {"type", "digest", "rows", "columns"})
    columns, rows, digest = value["columns"], value["rows"], value["digest"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _ShapeError(f"`{place}.digest` is no digest: it was edited by hand")
    if type(rows) is not int or rows < 0 or not isinstance(value["type"], str):
        raise _ShapeError(f"`{place}` states no number of rows, or no type")
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise _ShapeError(f"`{place}.columns` is no list of names")
    return LockedSource(type=value["type"], digest=digest, rows=rows, columns=tuple(columns))


def _texts(place: str, value: Any) -> FrozenMap[str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _ShapeError(f"`{place}` is no table of texts")
    return FrozenMap(value)


def _keys(value: Any, place: str, wanted: set[str]) -> None:
    if not isinstance(value, dict) or value.keys() != wanted:
        raise _ShapeError(f"`{place}` does not have exactly the keys {', '.join(sorted(wanted))}")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key `{twice}` stands twice, as after a merge")
    return found
