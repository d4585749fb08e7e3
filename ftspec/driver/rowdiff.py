"""Rows of a data source that were added, removed or changed, where both versions of it can be read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec.data.paths import resolve_path
from ftspec.data.table_files import format_of, read_records
from ftspec.diagnostics.model import FtspecError
from ftspec.plan.codec import canonical_json, hash_of
from ftspec.plan.difference import RowChange

_TABLES = ("file", "documents", "chat", "completion")
_ASKING = ("query", "question", "prompt", "text")  # roles that tell rows apart, where no id does
_EXAMPLES, _EXAMPLE_CHARS = 3, 80

Source = Mapping[str, Any]  # of a canonical spec


def row_change(old: Source, old_folder: Path, new: Source, new_folder: Path) -> tuple[RowChange, int] | None:
    """What changed, and the rows of the new version. None where the sources are no tables, or unreadable."""
    try:
        before, after = [*_rows(old, old_folder)], [*_rows(new, new_folder)]
    except (FtspecError, OSError, ValueError):
        return None
    if not before or not after:
        return None
    return _compare(before, after), len(after)


def _rows(source: Source, folder: Path) -> Iterator[tuple[str | None, str, str]]:
    """(identity or None, content, first words) of each row. Raises FtspecError, OSError."""
    for part in _tables(source):
        path = resolve_path(part["path"], folder)
        roles = part.get("roles") or {}
        identity = next((roles[name] for name in ("id", *_ASKING) if roles.get(name)), None)
        for record in read_records(path, format_of(path, part.get("format"))):
            value = record.value
            if isinstance(value, str):
                yield None, hash_of(record.excerpt), record.excerpt
                continue
            own = value.get(identity) if isinstance(identity, str) else None
            text = canonical_json(_plain(value))
            yield (None if own is None else f"{part['path']}\0{own}"), hash_of(text), str(own or text)


def _tables(source: Source) -> list[Source]:
    if source["type"] in _TABLES:
        return [source]
    if source["type"] == "raft":
        return [part for part in (source.get("documents"), source.get("questions")) if part]
    return []


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def _compare(
    before: list[tuple[str | None, str, str]], after: list[tuple[str | None, str, str]]
) -> RowChange:
    """By identity where it is one: there, and once, in every row of both versions. By content otherwise."""
    old = {name: (content, words) for name, content, words in before if name is not None}
    new = {name: (content, words) for name, content, words in after if name is not None}
    if len(old) == len(before) and len(new) == len(after):
        added = [new[name][1] for name in new if name not in old]
        removed = [old[name][1] for name in old if name not in new]
        changed = [new[name][1] for name in new if name in old and new[name][0] != old[name][0]]
    else:
        words = {content: text for _, content, text in (*before, *after)}
        one, other = Counter(row[1] for row in before), Counter(row[1] for row in after)
        added = [words[content] for content in (other - one).elements()]
        removed = [words[content] for content in (one - other).elements()]
        changed = []
    examples = [f"+ {text}" for text in added] + [f"~ {text}" for text in changed]
    examples += [f"- {text}" for text in removed]
    return RowChange(
        added=len(added),
        removed=len(removed),
        changed=len(changed),
        examples=tuple(_short(text) for text in examples[:_EXAMPLES]),
    )


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _EXAMPLE_CHARS else plain[: _EXAMPLE_CHARS - 1] + "…"
