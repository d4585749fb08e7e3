"""A spec as it was in a commit, with the data that it named then."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.driver import git
from ftspec.source.document import Document
from ftspec.source.load import load_document

if TYPE_CHECKING:
    from ftspec.driver.sides import Reading

_LFS = b"version https://git-lfs.github.com/spec/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """`document` lies where its data is; `shown` has the places of the repository, for people."""

    document: Document
    shown: Document
    notes: tuple[str, ...]


def load_revision(
    repository: git.Repository, commit: str, path: Path, revision: str, reading: "Reading"
) -> Loaded | None:
    """The spec at `path` with its overlays, all as of the commit."""

    def text_of(file: Path) -> tuple[str | None, str]:
        raw, _ = git.show(repository, commit, file)
        if raw is None:
            return None, f"is not in {revision}"
        try:
            return raw.decode("utf-8-sig"), ""
        except UnicodeDecodeError:
            return None, f"is not UTF-8 text in {revision}"

    try:
        named = path.relative_to(Path.cwd())
    except ValueError:
        named = path
    document, found = load_document(named, text_of=text_of, label=f"{revision}:")
    reading.found.extend(found)
    if document is None:
        return None
    written = sorted(set(_paths(document.tree, path.parent)))
    changed = {name: _changed(repository, commit, path.parent / name) for name in written}
    if not any(changed.values()):
        now = (_as_now(repository, commit, path.parent / name, revision) for name in written)
        return Loaded(
            document=document, shown=document, notes=tuple(note for note in now if note is not None)
        )
    outside = [name for name in written if repository.inside(path.parent / name) is None]
    if outside:
        note = f"the data of {revision}:{path.name} is read as it is now: {outside[0]} lies outside of the repository"
        return Loaded(document=document, shown=document, notes=(note,))
    top = Path(reading.stack.enter_context(tempfile.TemporaryDirectory(prefix="ftspec-revision-")))
    notes: list[str] = []
    for name in written:
        notes += _lay_out(repository, commit, path.parent / name, top, revision, is_old=changed[name])
    inside = repository.inside(path)
    assert inside is not None
    (top / inside).parent.mkdir(parents=True, exist_ok=True)
    return Loaded(
        document=Document(top / inside, document.root, damaged=document.damaged),
        shown=document,
        notes=tuple(notes),
    )


def _paths(tree: Any, folder: Path) -> Iterator[str]:
    """Relative paths of data and of local models, wherever the spec names some."""
    data = tree.get("data")
    for side in ("train", "evaluation"):
        sources = data.get(side) if isinstance(data, dict) else None
        for source in sources if isinstance(sources, list) else ():
            yield from _below(source)
    model = tree.get("model")
    base = model.get("base") if isinstance(model, dict) else None
    if isinstance(base, str) and not base.startswith(("/", "~")) and (folder / base).is_dir():
        yield base


def _below(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and path and "$" not in path and not path.startswith(("/", "~")):
            yield path
        for item in value.values():
            yield from _below(item)


def _changed(repository: git.Repository, commit: str, path: Path) -> bool:
    """Did what git has there change since the commit? Files that git never had are not of the commit."""
    if repository.inside(path) is None:
        return False
    return any(each.status != "added" for each in git.changed_files(repository, commit, [path])) or (
        bool(git.files_of(repository, commit, path)) and bool(git.changed_files(repository, commit, [path]))
    )


def _as_now(repository: git.Repository, commit: str, path: Path, revision: str) -> str | None:
    """A sentence about data that git does not have."""
    inside = repository.inside(path)
    if inside is None or not path.exists():
        return None
    if git.files_of(repository, commit, path) or git.show(repository, commit, path)[0] is not None:
        return None
    return f"{inside} is not in {revision}: it is read as it is now"


def _behind_link(path: Path, top: Path) -> bool:
    """Behind a link lies the working tree, where nothing is ever written."""
    return any(
        each.is_symlink() for each in (path, *path.parents) if each.is_relative_to(top) and each != top
    )


def _lay_out(
    repository: git.Repository, commit: str, path: Path, top: Path, revision: str, *, is_old: bool
) -> Iterator[str]:
    """What lay at `path` then, below `top`; a link to what lies there now where that is the same."""
    inside = repository.inside(path)
    assert inside is not None
    target = top / inside
    if target.is_file() or _behind_link(target, top):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_old and not target.exists():  # one that exists was made for a part of it
        if path.exists():
            target.symlink_to(path.resolve())
            note = _as_now(repository, commit, path, revision)
            if note is not None:
                yield note
        return
    raw, _ = git.show(repository, commit, path)
    files = {inside: raw} if raw is not None else {}
    for name in git.files_of(repository, commit, path) if raw is None else ():
        content, _ = git.show(repository, commit, repository.top / name)
        if content is not None:
            files[name] = content
    if any(content.startswith(_LFS) for content in files.values()):
        yield f"{inside} lies in Git LFS: it is read as it is now"
        if not target.exists():
            target.symlink_to(path.resolve())
        return
    for name, content in files.items():
        if not (top / name).exists() and not _behind_link(top / name, top):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content)
    if is_old:
        yield f"{inside} is read as of {revision}: it changed since"
