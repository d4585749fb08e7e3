"""Which specs changed since a git revision: by their own text, by what they extend, or by their data."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git
from ftspec.driver.specs import is_spec_file
from ftspec.store.project import Project

_API = re.compile(r"""^["']?apiVersion["']?[ \t]*:\s*['"]?ftspec/""", re.MULTILINE)
_EXTENDS = re.compile(r"^extends[ \t]*:", re.MULTILINE)
_ENDINGS = (".yaml", ".yml")
_COMMENT = re.compile(r"(^|\s)#.*")
_VALUE = re.compile(r"(?:path|extends|base):\s*([^,}\]]+)")
_WORD = re.compile(r"[^\s,\[\]{}'\"]*\w[^\s,\[\]{}'\"]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSpec:
    """`because`: the changed files, as git names them. `base`: the commit that it is compared with."""

    path: Path  # as a command names it: relative to the working directory where it lies below
    inside: str  # as git names it
    status: str  # added | changed | deleted
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
    revision: str, specs: Sequence[Path] = (), *, project: Project
) -> tuple[tuple[ChangedSpec, ...] | None, Diagnostics]:
    """All specs of the project (or of `specs`) that are not what they were where this branch left `revision`.

    A spec counts as changed when its text did, or a file that its text names: what it extends, its data, a
    local model. Each text is searched for names and not parsed, so that hundreds of specs take no time; a name
    that stands there by chance makes one spec too many, never one too few.
    """
    repository, found = git.find_repository(project.root)
    if repository is None:
        return None, found
    commit, here = git.commit_of(repository, revision)
    found.extend(here)
    if commit is None:
        return None, found
    base = git.merge_base(repository, commit)
    changes = _Changes(
        {
            each.path: each.status
            for each in git.changed_files(repository, base)
            if not each.path.is_relative_to(project.state)
        },
        repository.top,
    )
    chosen = {path.resolve() for path in specs}
    texts: dict[Path, str] = {}
    for path in sorted({*_yaml_files(project.root, repository), *(p for p in changes.status if _is_yaml(p))}):
        text = _text(path) if path.is_file() else _text_of(repository, base, path)
        if text is not None:
            texts[path] = text
    extended = _extended(texts)
    result = []
    for path, text in texts.items():
        if chosen and path not in chosen:
            continue
        if not _is_spec(path, text, is_extended=path in extended) and not _was_spec(
            path, changes, repository, base
        ):
            continue
        because = _because(path, text, changes)
        if because:
            inside = repository.inside(path)
            assert inside is not None
            result.append(
                ChangedSpec(
                    path=_near(path),
                    inside=inside,
                    status=changes.status.get(path, "changed"),
                    because=tuple(repository.inside(each) or str(each) for each in because),
                    base=base,
                    extended=path in extended,
                )
            )
    return tuple(result), found


def _extended(texts: Mapping[Path, str]) -> set[Path]:
    """Files that others extend."""
    return {
        Path(os.path.normpath(path.parent / name))
        for path, text in texts.items()
        if _EXTENDS.search(text)
        for name in _named(text)
        if name.lower().endswith(_ENDINGS)
    }


def _is_spec(path: Path, text: str, *, is_extended: bool) -> bool:
    """What others extend, and neither names nor inherits an apiVersion, is a part of theirs."""
    if _API.search(text):
        return True
    return _EXTENDS.search(text) is not None and (not is_extended or is_spec_file(path))


def _was_spec(path: Path, changes: _Changes, repository: git.Repository, base: str) -> bool:
    """A file that no longer says that it is a spec is a broken one, and no file of others."""
    if changes.status.get(path) != "changed":
        return False
    return _API.search(_text_of(repository, base, path) or "") is not None


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS


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
        for name in _named(words):
            target = os.path.normpath(here.parent / name)
            found += [each for each in changes.at.get(target, ()) if each not in found and each != path]
            if target.lower().endswith(_ENDINGS) and Path(target) not in seen and Path(target).is_file():
                seen.add(Path(target))
                more = _text(Path(target))
                # Paths of data in what is extended start at the folder of the spec.
                queue += [] if more is None else [(Path(target), more), (path, more)]
    return found


def _named(text: str) -> set[str]:
    """Words that may be names of files."""
    names: set[str] = set()
    for line in text.splitlines():
        said = _COMMENT.sub("", line)
        names.update(found.strip("\"' ") for found in _VALUE.findall(said))
        names.update(word for word in _WORD.findall(said) if "/" in word or "." in word)
    return {name for name in names if name and "\0" not in name}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _text_of(repository: git.Repository, commit: str, path: Path) -> str | None:
    raw, _ = git.show(repository, commit, path)
    return None if raw is None else raw.decode("utf-8-sig", "replace")


def _near(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd().resolve())
    except ValueError:
        return path
