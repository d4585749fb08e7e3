"""What git knows, read only: commits, files of a revision, what changed since one.

Git runs as a program, without a shell, and never writes: no lock, no refreshed index, no hook, no prompt.
The repository is the one that a folder lies in, also where a hook of git set another in the environment.
Names of revisions come from users: each is resolved to a commit first, and only commits are asked for later.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics

_ARGUMENTS = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "--no-pager", "--literal-pathspecs")
_SECONDS = 120
_UNSHALLOW = "this clone is shallow: git fetch --unshallow (`fetch-depth: 0` in a workflow)"
# A hook runs with these set to its own repository, and relative paths in them start elsewhere.
_OF_HOOKS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    top: Path  # of its working tree, absolute, without links

    def inside(self, path: Path) -> str | None:
        """`path` as git names it, from the top with `/`; None where it lies outside."""
        try:
            return path.resolve().relative_to(self.top).as_posix()
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    path: Path  # absolute
    status: str  # added | changed | deleted; renames are one of each


def find_repository(folder: Path) -> tuple[Repository | None, Diagnostics]:
    """The repository that the folder lies in, or would lie in if it existed. FTS670."""
    found = Diagnostics()
    here = folder.resolve()
    while not here.is_dir() and here != here.parent:
        here = here.parent
    result = _git(here, "rev-parse", "--show-toplevel")
    if result.ok and result.text.strip():
        return Repository(top=Path(result.text.rstrip("\r\n")).resolve()), found
    if "dubious ownership" in result.fault:
        found.add(
            codes.NO_REPOSITORY,
            f"git does not read {folder}, which belongs to another user",
            help=f"git config --global --add safe.directory {here}",
        )
    elif result.ok or "not a git repository" in result.fault or "work tree" in result.fault:
        found.add(
            codes.NO_REPOSITORY, f"{folder} lies in no working tree of git", help="git init, and commit"
        )
    else:
        found.add(codes.NO_REPOSITORY, f"{folder}: {result.fault}")
    return None, found


def head(folder: Path) -> str | None:
    """The commit that is checked out where the folder lies; None without a repository or a commit."""
    repository, _ = find_repository(folder)
    if repository is None:
        return None
    result = _git(repository.top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return result.text.strip() or None if result.ok else None


def is_dirty(folder: Path, paths: Sequence[Path] = ()) -> bool:
    """Does the working tree differ from HEAD, in the given paths or, without any, in tracked files at all?
    A path that git does not know counts as a difference; without a repository there is none."""
    repository, _ = find_repository(folder)
    if repository is None:
        return False
    inside = [name for name in map(repository.inside, paths) if name is not None]
    if paths and not inside:
        return False
    untracked = "normal" if paths else "no"
    result = _git(
        repository.top, "status", "--porcelain", "-z", f"--untracked-files={untracked}", "--", *inside
    )
    return bool(result.text) if result.ok else False


def user(folder: Path) -> str | None:
    """`user.name` as git has it configured there; None where it has none."""
    here = folder if folder.is_dir() else Path.cwd()
    result = _git(here, "config", "--get", "user.name")
    return result.raw.decode("utf-8", "replace").strip() or None if result.ok else None


def commit_of(repository: Repository, revision: str) -> tuple[str | None, Diagnostics]:
    """The commit that a branch, tag, `HEAD~1` or abbreviated digest names. FTS671."""
    found = Diagnostics()
    result = _git(
        repository.top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    commit = result.text.strip()
    if revision.strip() and result.ok and commit:
        return commit, found
    found.add(codes.UNKNOWN_REVISION, f"{revision!r} names no commit here", help=_fetch(repository, revision))
    return None, found


def _fetch(repository: Repository, revision: str) -> str:
    """A clone of a build machine often holds one commit only."""
    remote, slash, branch = revision.partition("/")
    if _is_shallow(repository):
        return _UNSHALLOW
    if slash and remote in _git(repository.top, "remote").text.split():
        return f"git fetch {remote} {branch}"
    return "git log --oneline --all shows the commits that are here"


def _is_shallow(repository: Repository) -> bool:
    return _git(repository.top, "rev-parse", "--is-shallow-repository").text.strip() == "true"


def base_of(repository: Repository, revision: str) -> tuple[str | None, Diagnostics]:
    """The commit where HEAD left the line of `revision`: what a pull request is compared with. FTS671, also
    where a shallow clone does not hold it. Histories that have nothing in common are compared as they are: FTS675.
    """
    commit, found = commit_of(repository, revision)
    if commit is None:
        return None, found
    result = _git(repository.top, "merge-base", commit, "HEAD")
    base = result.text.strip() if result.ok else ""
    if base:
        return base, found
    if _is_shallow(repository):
        detail = f"the commit where this branch left {revision!r} is not here"
        found.add(codes.UNKNOWN_REVISION, detail, help=_UNSHALLOW)
        return None, found
    found.add(
        codes.NO_COMMON_COMMIT,
        f"this branch never left {revision!r}, so it is compared with {commit[:12]} itself",
    )
    return commit, found


def show(repository: Repository, commit: str, path: Path) -> tuple[bytes | None, Diagnostics]:
    """The content of a file in a commit. FTS672 where it is not there, or is no file."""
    found = Diagnostics()
    name = repository.inside(path)
    if name is not None:
        result = _git(repository.top, "cat-file", "blob", f"{commit}:{name}")
        if result.ok:
            return result.raw, found
    problem = "lies outside of the repository" if name is None else f"is no file in {commit[:12]}"
    found.add(
        codes.NOT_IN_REVISION,
        f"{name or path} {problem}",
        help=f"git ls-tree -r --name-only {commit[:12]} shows what is",
    )
    return None, found


def files_of(repository: Repository, commit: str, below: Path | None = None) -> tuple[str, ...]:
    """The files of a commit, as git names them, in one folder or (None) all."""
    name = repository.inside(below) if below is not None else None
    only = () if name in (None, ".") else (f"{name}/",)
    result = _git(repository.top, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", *only)
    return tuple(part for part in result.text.split("\0") if part) if result.ok else ()


def working_files(repository: Repository, below: Path) -> tuple[Path, ...]:
    """Files of the working tree that git knows, or would know: ignored ones are left out."""
    name = repository.inside(below) or "."
    result = _git(repository.top, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", name)
    return tuple(repository.top / part for part in dict.fromkeys(result.text.split("\0")) if part)


def changed_files(repository: Repository, commit: str, paths: Sequence[Path] = ()) -> tuple[ChangedFile, ...]:
    """Files of the working tree, untracked ones included, that are not what they are in the commit."""
    inside = [name for name in map(repository.inside, paths) if name is not None]
    if paths and not inside:
        return ()
    words = {"A": "added", "D": "deleted"}
    result = _git(
        repository.top, "diff", "--name-status", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules",
        commit, "--", *inside,
    )  # fmt: skip
    parts = result.text.split("\0") if result.ok else []
    changed = {
        name: words.get(status, "changed") for status, name in zip(parts[::2], parts[1::2], strict=False)
    }
    result = _git(repository.top, "ls-files", "--others", "--exclude-standard", "-z", "--", *inside)
    for name in result.text.split("\0") if result.ok else ():
        if name:  # one that was removed from the index only is still there
            changed[name] = "changed" if name in changed else "added"
    return tuple(
        ChangedFile(path=repository.top / name, status=status) for name, status in sorted(changed.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    ok: bool
    raw: bytes
    fault: str  # the last line of what git said

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "surrogateescape")


def _git(folder: Path, *arguments: str) -> _Result:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *_ARGUMENTS, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return _Result(ok=False, raw=b"", fault="git is not installed")
    except ValueError:  # a NUL in a name
        return _Result(ok=False, raw=b"", fault="the name holds a character that no file has")
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Result(ok=False, raw=b"", fault=f"git did not answer: {error}")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return _Result(ok=done.returncode == 0, raw=done.stdout, fault=said[0] if said else "")
