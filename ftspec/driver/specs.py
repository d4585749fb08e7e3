"""The specs of a project: every YAML file below its root that says it is one, or that is one but for a fault."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec.source.overlay import MAX_BYTES

KINDS = ("Embedding", "LLM")  # as text: what only looks for specs imports no models of them
ENDINGS = (".yaml", ".yml")
EXTENDS = re.compile(rb"^(?:\xef\xbb\xbf)?extends[ \t]*:", re.MULTILINE)
_VERSION = rb"""apiVersion["']?\s*:\s*["']?ftspec"""
_ANYWHERE = re.compile(_VERSION, re.IGNORECASE)
_KEY = re.compile(rb"""^["']?(\w+)["']?[ \t]*:[ \t]*["']?([^\s"'#]*)""", re.MULTILINE)  # at the top level
_PARTS = frozenset(("metadata", "model", "data", "train", "evaluation", "gates"))
_BYTE_ORDER = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_COMMENT = re.compile(r"(^|\s)#.*")
_VALUE = re.compile(r"(?:path|extends|base):\s*([^,}\]]+)")
_WORD = re.compile(r"[^\s,\[\]{}'\"]*\w[^\s,\[\]{}'\"]*")
_NOT_ENTERED = {"node_modules", "site-packages", "__pycache__"}  # and hidden folders


def project_specs(root: Path) -> tuple[Path, ...]:
    """Sorted paths below `root`, as `root` is written. Only their top level is looked at, as text, so that
    faulty specs are among them: of another version, in another encoding, without an apiVersion. And what a
    file extends, where it says nothing itself. Links to folders are not followed."""
    raws = {path: raw for path in sorted(_yaml_files(root)) if (raw := _raw(path)) is not None}
    specs = [path for path, raw in raws.items() if _is_spec(path, raw)]
    if all(_names_us(raws[path]) or _inherits(path, raws[path]) for path in specs):
        return tuple(specs)
    parts = extended_by((_absolute(path), raw.decode("utf-8", "replace")) for path, raw in raws.items())
    return tuple(path for path in specs if is_spec_file(path, is_extended=_absolute(path) in parts))


def shown(path: Path) -> Path:
    """Relative to the working directory where it lies below: as people and annotations name it."""
    path, here = _absolute(path), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def is_spec_file(path: Path, *, is_extended: bool = False) -> bool:
    """Does the file say `apiVersion: ftspec/…` at its top level, or inherit it? Or is it one of our kinds with
    sections of ours, though without that line: unless others extend it, for then it is a part of them."""
    raw = _raw(path)
    if raw is None:
        return False
    return _names_us(raw) or _inherits(path, raw) if is_extended else _is_spec(path, raw)


def is_spec_text(raw: bytes) -> bool:
    """Does the content of a file say so? It need not be UTF-8, nor a version that is known."""
    raw = _plain(raw)
    return _names_us(raw) or _is_ours(_keys(raw))


def was_spec(raw: bytes) -> bool:
    """The same of a file that is gone: one that extends others is taken by its sections."""
    return is_spec_text(raw) or bool(EXTENDS.search(raw) and _has_part(raw))


def named_in(text: str) -> set[str]:
    """Words that may be names of files."""
    names: set[str] = set()
    for line in text.splitlines():
        said = _COMMENT.sub("", line)
        names.update(found.strip("\"' ") for found in _VALUE.findall(said))
        names.update(word for word in _WORD.findall(said) if "/" in word or "." in word)
    return {name for name in names if name and "\0" not in name}


def extended_by(texts: Iterable[tuple[Path, str]]) -> set[Path]:
    """Files that others extend."""
    return {
        Path(os.path.normpath(path.parent / name))
        for path, text in texts
        if EXTENDS.search(text.encode())
        for name in named_in(text)
        if name.lower().endswith(ENDINGS)
    }


def _raw(path: Path) -> bytes | None:
    """What is at the beginning of the file, which is all of any spec, in a plain encoding."""
    try:
        with path.open("rb") as file:
            return _plain(file.read(MAX_BYTES))
    except OSError:
        return None


def _plain(raw: bytes) -> bytes:
    """Keys and words of ours are ASCII: in UTF-16 they are the same between NULs. What reads the spec later
    says what is wrong with it."""
    for mark in _BYTE_ORDER:
        raw = raw.removeprefix(mark)
    return raw.replace(b"\0", b"")


def _is_spec(path: Path, raw: bytes) -> bool:
    return is_spec_text(raw) or _inherits(path, raw)


def _names_us(raw: bytes) -> bool:
    """By its apiVersion. One that stands at no start of a line may be that of a text within the file."""
    found = [*_ANYWHERE.finditer(raw)]
    if any(raw[: each.start()].rpartition(b"\n")[2] in (b"", b'"', b"'") for each in found):
        return True
    return bool(found) and _names_us_within(raw)


def _names_us_within(raw: bytes) -> bool:
    """Of a file that is written as JSON, or indented as a whole."""
    from ftspec.diagnostics.model import Diagnostics
    from ftspec.source.parse import parse_yaml
    from ftspec.source.text import SourceText

    root = parse_yaml(SourceText(path="", text=raw.decode("utf-8", "replace")), Diagnostics())
    if root is None:
        return raw.lstrip().startswith(b"{")
    return isinstance(root.value, dict) and _version(root.plain()).startswith("ftspec")


def _inherits(path: Path, raw: bytes) -> bool:
    """Of a file that extends others. One that cannot be read is a spec by its sections: its faults are told."""
    if not EXTENDS.search(raw):
        return False
    from ftspec.source.load import load_document

    document, _ = load_document(path)
    if document is None or document.damaged:
        return _has_part(raw)
    return _version(document.tree).startswith("ftspec")


def _version(tree: Mapping[str, Any]) -> str:
    return next((str(value).lower() for key, value in tree.items() if str(key).lower() == "apiversion"), "")


def _is_ours(keys: Mapping[str, str]) -> bool:
    """By kind and sections. Other tools have kinds too, and name them with a version and metadata of theirs."""
    if keys.get("kind") not in KINDS or "metadata" not in keys:
        return False
    return "apiversion" not in keys or not keys.keys().isdisjoint(("data", "train"))


def _has_part(raw: bytes) -> bool:
    return not _PARTS.isdisjoint(_keys(_plain(raw)))


def _keys(raw: bytes) -> dict[str, str]:
    """The top level, in small letters: what is written there, and the word that stands beside it."""
    return {key.decode().lower(): value.decode("utf-8", "replace") for key, value in _KEY.findall(raw)}


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay


def is_looked_at(path: Path, root: Path) -> bool:
    """Would `project_specs` come across the file?"""
    if not path.is_relative_to(root) or path.suffix.lower() not in ENDINGS:
        return False
    folders = [folder for folder in path.parents if folder != root and folder.is_relative_to(root)]
    return all(_is_entered(folder.parent, folder.name) for folder in folders)


def _yaml_files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if _is_entered(folder, name)]
        yield from (Path(folder, name) for name in files if name.lower().endswith(ENDINGS))


def _is_entered(folder: str | Path, name: str) -> bool:
    """No hidden folder, and none of packages."""
    if name.startswith(".") or name in _NOT_ENTERED:
        return False
    return not os.path.isfile(os.path.join(folder, name, "pyvenv.cfg"))  # noqa: PTH113, PTH118
