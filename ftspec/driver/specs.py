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
_EXTENDS = re.compile(rb"^(?:\xef\xbb\xbf)?extends[ \t]*:", re.MULTILINE)
_SECTION = re.compile(rb"^(?:\xef\xbb\xbf)?(metadata|model|data|train|evaluation|gates)[ \t]*:", re.MULTILINE)
_ENDINGS = (".yaml", ".yml")
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
    return is_spec_text(raw) or (_EXTENDS.search(raw) is not None and _inherits(path, raw))


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
    return is_spec_text(raw) or bool(_EXTENDS.search(raw) and _SECTION.search(raw))


def _yaml_files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [
            name
            for name in names
            if not name.startswith(".")
            and name not in _NOT_ENTERED
            and not os.path.isfile(os.path.join(folder, name, "pyvenv.cfg"))  # noqa: PTH113, PTH118
        ]
        yield from (Path(folder, name) for name in files if name.lower().endswith(_ENDINGS))
