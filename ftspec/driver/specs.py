"""The specs of a project: every YAML file below its root that says it is one."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ftspec.source.overlay import MAX_BYTES

_IS_SPEC = re.compile(
    rb"""^(?:\xef\xbb\xbf)?["']?apiVersion["']?[ \t]*:[ \t]*["']?ftspec/v1["']?[ \t]*(#.*)?\r?$""",
    re.MULTILINE,
)
EXTENDS = re.compile(rb"^(?:\xef\xbb\xbf)?extends[ \t]*:", re.MULTILINE)
_SECTION = re.compile(rb"^(?:\xef\xbb\xbf)?(metadata|model|data|train|evaluation|gates)[ \t]*:", re.MULTILINE)
ENDINGS = (".yaml", ".yml")
_NOT_ENTERED = {"node_modules", "site-packages", "__pycache__"}  # and hidden folders


def project_specs(root: Path) -> tuple[Path, ...]:
    """Sorted paths below `root`, as `root` is written. Only their top level is looked at, as text, so that
    faulty specs are among them; and what a file extends, where it says nothing itself. Links to folders are
    not followed."""
    return tuple(sorted(path for path in _yaml_files(root) if is_spec_file(path)))


def is_spec_file(path: Path) -> bool:
    """Does the file say `apiVersion: ftspec/v1` at its top level, or inherit it?"""
    try:
        if path.stat().st_size > MAX_BYTES:
            return False
        raw = path.read_bytes()
    except OSError:
        return False
    return is_spec_text(raw) or (EXTENDS.search(raw) is not None and _inherits(path, raw))


def _inherits(path: Path, raw: bytes) -> bool:
    """Of a file that extends others. One that cannot be read is a spec by its sections: its faults are told."""
    from ftspec.source.load import load_document

    document, _ = load_document(path)
    if document is None or document.damaged:
        return _SECTION.search(raw) is not None
    return str(document.tree.get("apiVersion", "")).startswith("ftspec/")


def is_spec_text(raw: bytes) -> bool:
    """Does the content of a file say so?"""
    return _IS_SPEC.search(raw) is not None


def was_spec(raw: bytes) -> bool:
    """The same of a file that is gone: one that extends others is taken by its sections."""
    return is_spec_text(raw) or bool(EXTENDS.search(raw) and _SECTION.search(raw))


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
