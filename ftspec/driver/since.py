"""Which specs changed since a git revision: by their own text, by what they extend, or by their data."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git
from ftspec.store.project import Project

_API = re.compile(r"^apiVersion:\s*['\"]?ftspec/", re.MULTILINE)
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSpec:
    """`because`: the changed files, as git names them. `base`: the commit that it is compared with."""

    path: Path  # as a command names it: relative to the working directory where it lies below
    inside: str  # as git names it
    status: str  # added | changed | deleted
    because: tuple[str, ...]
    base: str


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
    changes = {
        each.path: each.status
        for each in git.changed_files(repository, base)
        if not each.path.is_relative_to(project.state)
    }
    chosen = {path.resolve() for path in specs}
    result = []
    for path in sorted({*_yaml_files(project.root, repository), *(p for p in changes if _is_yaml(p))}):
        if chosen and path not in chosen:
            continue
        text = _text(path) if path.is_file() else _text_of(repository, base, path)
        if text is None or not _is_spec(text):
            continue
        because = _because(path, text, changes)
        if because:
            inside = repository.inside(path)
            assert inside is not None
            result.append(
                ChangedSpec(
                    path=_near(path),
                    inside=inside,
                    status=changes.get(path, "changed"),
                    because=tuple(repository.inside(each) or str(each) for each in because),
                    base=base,
                )
            )
    return tuple(result), found


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS


def _yaml_files(root: Path, repository: git.Repository) -> list[Path]:
    """Those that git knows or would know."""
    return [path for path in git.working_files(repository, root) if _is_yaml(path) and path.is_file()]


def _is_spec(text: str) -> bool:
    """An overlay that others extend names no apiVersion, or is one itself; either is read with what names it."""
    return _API.search(text) is not None or re.search(r"^extends:", text, re.MULTILINE) is not None


def _because(path: Path, text: str, changes: dict[Path, str]) -> list[Path]:
    found = [path] if path in changes else []
    seen = {path}
    queue = [(path, text)]
    while queue:
        here, words = queue.pop()
        for name in _named(words):
            target = Path(_normal(here.parent / name)) if not name.startswith("/") else Path(name)
            hits = [each for each in changes if each == target or each.is_relative_to(target)]
            found += [each for each in hits if each not in found and each != path]
            if _is_yaml(target) and target not in seen and target.is_file():
                seen.add(target)
                more = _text(target)
                # Paths of data in what is extended start at the folder of the spec.
                queue += [] if more is None else [(target, more), (path, more)]
    return found


def _named(text: str) -> set[str]:
    """Words that may be names of files."""
    names = set()
    for line in text.splitlines():
        said = re.sub(r"(^|\s)#.*", "", line)
        key = re.match(r"\s*(?:-\s+)?(?:path|extends|base):\s*(.+)", said)
        if key:
            names.add(key[1].strip().strip("'\""))
        names.update(word for word in re.findall(r"[^\s,\[\]{}'\"]+", said) if "/" in word or "." in word)
    return {name for name in names if name and "\0" not in name and name not in (".", "/", "..")}


def _normal(path: Path) -> str:
    return os.path.normpath(path)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _text_of(repository: git.Repository, commit: str, path: Path) -> str | None:
    raw, _ = git.show(repository, commit, path)
    return None if raw is None else raw.decode("utf-8", "replace")


def _near(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd().resolve())
    except ValueError:
        return path
