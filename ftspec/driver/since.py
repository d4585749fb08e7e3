"""Which specs changed since a git revision: by their own text, by what they extend, or by their data."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git
from ftspec.driver.specs import (
    ENDINGS,
    extended_by,
    is_looked_at,
    is_spec_file,
    is_spec_text,
    named_in,
    was_spec,
)
from ftspec.store.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSpec:
    """`because`: the changed files, as git names them. `base`: the commit that it is compared with."""

    path: Path  # as a command names it: relative to the working directory where it lies below
    inside: str  # as git names it
    status: str  # added | changed | renamed | deleted
    old: str | None  # its place then, as git names it; None: it was not there
    old_path: Path | None  # the same, as a command names it
    because: tuple[str, ...]
    base: str
    extended: bool  # others extend it, so it need not be a whole spec


class _Changes:
    """Changed files, found by their own path or by that of a folder above."""

    def __init__(self, status: dict[Path, str], top: Path) -> None:
        self.status = status
        self.at: dict[str, list[Path]] = {}
        for path in status:
            for place in (path, *path.parents):
                self.at.setdefault(str(place), []).append(path)
                if place == top:
                    break


def changed_specs(
    revision: str, specs: Sequence[Path] = (), *, project: Project, below: Path | None = None
) -> tuple[tuple[ChangedSpec, ...] | None, Diagnostics]:
    """All specs of the project (or below a folder, or of `specs`) that are not what they were where this branch
    left `revision`.

    A spec counts as changed when its text did, or a file that its text names: what it extends, its data, a
    local model. Each text is searched for names and not parsed, so that hundreds of specs take no time; a name
    that stands there by chance makes one spec too many, never one too few. One that was deleted and came back
    elsewhere is renamed: of the same text, else the only one that makes a model of the same name.
    """
    repository, found = git.find_repository(project.root)
    if repository is None:
        return None, found
    base, here = git.base_of(repository, revision)
    found.extend(here)
    if base is None:
        return None, found
    changes = _Changes(
        {
            each.path: each.status
            for each in git.changed_files(repository, base)
            if not each.path.is_relative_to(project.state)
        },
        repository.top,
    )
    chosen = {path.resolve() for path in specs}
    root = project.root.resolve()
    texts: dict[Path, str] = {}
    for path in sorted({*_yaml_files(root, repository), *(p for p in changes.status if _is_yaml(p))}):
        text = _text(path) if path.is_file() else _text_of(repository, base, path)
        if text is not None:
            texts[path] = text
    extended = extended_by(texts.items())
    result = []
    for path, text in texts.items():
        status = changes.status.get(path, "changed")
        if path not in chosen and not is_looked_at(path, root):
            continue
        because = _because(path, text, changes)
        if not because or not _is_spec(path, status, repository, base, is_extended=path in extended):
            continue
        inside = repository.inside(path)
        assert inside is not None
        result.append(
            ChangedSpec(
                path=_near(path),
                inside=inside,
                status=status,
                old=None if status == "added" else inside,
                old_path=None if status == "added" else _near(path),
                because=tuple(repository.inside(each) or str(each) for each in because),
                base=base,
                extended=path in extended,
            )
        )

    def is_wanted(inside: str | None) -> bool:
        place = None if inside is None else repository.top / inside
        return place is not None and (place in chosen if chosen else place.is_relative_to(area))

    area = root if below is None else below.resolve()
    whole = _with_renamed(result, repository)
    return tuple(each for each in whole if is_wanted(each.inside) or is_wanted(each.old)), found


def _is_spec(path: Path, status: str, repository: git.Repository, base: str, *, is_extended: bool) -> bool:
    """Is it one now, or was it? A file that no longer says so is a broken spec, and no file of others. What
    others extend, and neither names nor inherits an apiVersion, is a part of theirs."""
    if status != "deleted" and is_spec_file(path, is_extended=is_extended):
        return True
    if status == "added":
        return False
    before = git.show(repository, base, path)[0] or b""
    return is_spec_text(before) or (status == "deleted" and not is_extended and was_spec(before))


def _with_renamed(found: Sequence[ChangedSpec], repository: git.Repository) -> Iterator[ChangedSpec]:
    gone = {each.inside: each for each in found if each.status == "deleted"}
    new = [each for each in found if each.status == "added"]
    pairs: dict[str, str] = {}  # new place → old place
    if gone and new:
        texts = {
            name: git.show(repository, each.base, repository.top / name)[0] for name, each in gone.items()
        }
        ways: tuple[Callable[[bytes | None], object], ...] = (lambda raw: raw, _model_name)
        for identity in ways:
            for each in new:
                wanted = identity(_bytes(repository.top / each.inside))
                left = [
                    name for name in texts if name not in pairs.values() and identity(texts[name]) == wanted
                ]
                if each.inside not in pairs and wanted is not None and len(left) == 1:
                    pairs[each.inside] = left[0]
    for each in found:
        if each.inside in pairs:
            old = gone[pairs[each.inside]]
            yield replace(each, status="renamed", old=old.inside, old_path=old.path)
        elif each.inside not in pairs.values():
            yield each


def _model_name(raw: bytes | None) -> tuple[str, str] | None:
    """Kind and name, as the text itself says them."""
    if raw is None:
        return None
    from ftspec.source.parse import parse_yaml
    from ftspec.source.text import SourceText

    root = parse_yaml(SourceText(path="", text=raw.decode("utf-8-sig", "replace")), Diagnostics())
    tree = root.plain() if root is not None and isinstance(root.value, dict) else {}
    metadata = tree.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return (str(tree.get("kind")), name) if isinstance(name, str) else None


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _yaml_files(root: Path, repository: git.Repository) -> list[Path]:
    """Those that git knows or would know."""
    return [path for path in git.working_files(repository, root) if _is_yaml(path) and path.is_file()]


def _because(path: Path, text: str, changes: _Changes) -> list[Path]:
    """The changed files that the spec consists of, or names."""
    found = [path] if path in changes.status else []
    seen = {path}
    queue = [(path, text)]
    while queue:
        here, words = queue.pop()
        for name in named_in(words):
            target = os.path.normpath(here.parent / name)
            found += [each for each in changes.at.get(target, ()) if each not in found and each != path]
            if target.lower().endswith(ENDINGS) and Path(target) not in seen and Path(target).is_file():
                seen.add(Path(target))
                more = _text(Path(target))
                # Paths of data in what is extended start at the folder of the spec.
                queue += [] if more is None else [(Path(target), more), (path, more)]
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text_of(repository: git.Repository, commit: str, path: Path) -> str | None:
    raw, _ = git.show(repository, commit, path)
    return None if raw is None else raw.decode("utf-8-sig", "replace")


def _near(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd().resolve())
    except ValueError:
        return path
