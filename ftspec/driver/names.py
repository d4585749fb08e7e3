"""Names of models across the specs of a project: each belongs to one spec."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Related, Severity, Span
from ftspec.source.document import Document
from ftspec.source.load import load_document
from ftspec.spec.kinds import SPECS

if TYPE_CHECKING:
    from ftspec.driver.compile import Compilation
    from ftspec.store.project import Project

_METADATA = re.compile(
    rb"""^(?:\xef\xbb\xbf)?["']?metadata["']?[ \t]*:(.*(?:\n(?:[ \t#].*|\r?$))*)""", re.MULTILINE
)
_NAME = re.compile(rb"""name["']?\s*:""")
# At the indent of the section's first entry, which is none of what an entry holds in lines of its own.
_OWN_NAME = re.compile(
    rb"""[ \t]*(?:[ \t]\#.*)?\r?\n(?:[ \t]*(?:\#.*)?\r?\n)*  # to the first entry
    ([ ]+)(?![ #\r\n])(?:.*\n(?:.*\n)*?\1)?
    ["']?name["']?[ \t]*:[ \t]+["']?([A-Za-z0-9][\w.-]*)["']?[ \t]*(?:[ \t]\#.*)?\r?(?:\n|\Z)""",
    re.VERBOSE,
)
_SHOWN = 3  # other places with one diagnostic
_HELP = "give one of them another metadata.name"


def name_clashes(specs: Sequence[Path]) -> dict[Path, Diagnostic]:
    """FTS213 for each of the specs whose name another one of them has, too. Only those that may be among them
    are parsed, so that hundreds take no time."""
    by_name: defaultdict[str, set[Path]] = defaultdict(set)
    for path in _distinct(specs):
        name = _stated(path)
        if name is not None:
            by_name[name].add(path)
    suspects = {path for paths in by_name.values() if len(paths) > 1 for path in paths}
    documents = ((path, load_document(path)[0]) for path in specs if path in suspects)
    return clashes_of((path, document) for path, document in documents if document is not None)


def clashes_of(documents: Iterable[tuple[Path, Document]]) -> dict[Path, Diagnostic]:
    """The same of specs that were read; a file that is named twice is one."""
    by_name: defaultdict[str, dict[Path, tuple[Path, Document]]] = defaultdict(dict)
    for path, document in documents:
        name = name_of(document)
        if name is not None:
            by_name[name].setdefault(path.resolve(), (path, document))
    return {
        path: _clash(name, path, document, [each for each in found.values() if each[0] != path])
        for name, found in by_name.items()
        if len(found) > 1
        for path, document in found.values()
    }


def clash_with_current(compiled: "Compilation", project: "Project") -> Iterator[Diagnostic]:
    """FTS213 as a warning where the current version of the plan's name was made by another spec, which still
    has that name. Only that spec is looked at, not all of the project."""
    from ftspec.store.registry import find_model_version
    from ftspec.store.run_record import read_record

    name, document = compiled.plan.name, compiled.document
    model, _ = find_model_version(project, name)
    run_id = None if model is None else model.meta.get("run_id")
    record = None if run_id is None else read_record(project.runs / str(run_id))[0]
    if record is None:
        return
    places = (Path(record.spec_path), project.root / record.spec_path)
    other = next((path for path in places if path.is_file()), None)
    if other is None or other.resolve() == document.path.resolve() or name != _stated(other):
        return
    clash = clashes_of(
        (path, read)
        for path, read in ((document.path, document), (other, load_document(other)[0]))
        if read is not None
    ).get(document.path)
    if clash is not None:
        yield replace(clash, severity=Severity.WARNING)


def specs_named(specs: Iterable[Path], name: str, kind: str) -> tuple[Path, ...]:
    """Those that make this model, or would, were their kind not misspelt."""
    found = []
    for path in specs:
        document = load_document(path)[0] if name == _stated(path) else None
        if document is not None and name_of(document) == name:
            written = document.tree.get("kind")
            if written == kind or not isinstance(written, str) or written not in SPECS:
                found.append(path)
    return tuple(found)


def name_of(document: Document) -> str | None:
    """As the spec says it, be it valid or not."""
    metadata = document.tree.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _distinct(specs: Sequence[Path]) -> Iterable[Path]:
    return {path.resolve(): path for path in reversed(specs)}.values()


def _stated(path: Path) -> str | None:
    """The name that the spec gives its model; read properly where the text alone does not tell."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    section = _METADATA.search(raw)
    own = None if section is None else _OWN_NAME.match(section[1])
    if section is not None and own is not None and len(_NAME.findall(section[1])) == 1:
        return own[2].decode("utf-8", "replace")
    document, _ = load_document(path)
    return None if document is None else name_of(document)


def _clash(name: str, path: Path, document: Document, others: Sequence[tuple[Path, Document]]) -> Diagnostic:
    related = tuple(
        Related(span=_place(other, read), message="is a spec of the same name")
        for other, read in others[:_SHOWN]
    )
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return Diagnostic(
        code=codes.NAME_TAKEN,
        detail=f"`{name}` is the name of {others[0][0]}{more}, too",
        primary=_place(path, document),
        related=related,
        help=_HELP,
    )


def _place(path: Path, document: Document) -> Span:
    """Of the name; the first line of a spec that inherits its name."""
    span = document.span(("metadata", "name"))
    if span is not None and Path(span.path).resolve() == path.resolve():
        return span
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    first = lines[0] if lines else ""
    return Span(path=str(path), line=1, column=1, end_line=1, end_column=len(first) + 1, excerpt=first)
