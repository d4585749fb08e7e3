"""Git is read, and never written. FTS670, FTS671 and FTS672 are its faults."""

import os
import subprocess
from pathlib import Path

import pytest

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _codes(found: Diagnostics) -> list[str]:
    return [each.code.id for each in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two commits of a spec and its data; the branch `main`."""
    top = tmp_path / "repo"
    (top / "specs").mkdir(parents=True)
    _git(top, "init", "-q", "-b", "main")
    (top / "specs" / "ä.yaml").write_text("a: 1\n")
    (top / "rows.jsonl").write_text("{}\n")
    _git(top, "add", ".")
    _git(top, "commit", "-qm", "one")
    (top / "specs" / "ä.yaml").write_text("a: 2\n")
    _git(top, "commit", "-qam", "two")
    return top


def _repository(folder: Path) -> git.Repository:
    repository, found = git.find_repository(folder)
    assert repository is not None, list(found)
    return repository


def test_a_file_of_an_earlier_commit(folder: Path) -> None:
    repository = _repository(folder / "specs" / "not" / "there")
    assert repository.top == folder
    commit, _ = git.commit_of(repository, "HEAD~1")
    assert commit is not None
    assert git.show(repository, commit, folder / "specs" / "ä.yaml") == (b"a: 1\n", Diagnostics())
    assert git.files_of(repository, commit) == ("rows.jsonl", "specs/ä.yaml")
    assert git.files_of(repository, commit, folder / "specs") == ("specs/ä.yaml",)


@pytest.mark.parametrize(
    "revision", ["nothing", "", " ", "-h", "--all", "HEAD~9", "HEAD:rows.jsonl", "a\0b", "$(id)"]
)
def test_revisions_that_are_none(folder: Path, revision: str) -> None:
    commit, found = git.commit_of(_repository(folder), revision)
    assert commit is None
    assert _codes(found) == ["FTS671"]


def test_files_that_are_none(folder: Path) -> None:
    repository = _repository(folder)
    commit = git.head(folder)
    assert commit is not None
    for path in ("gone.yaml", "specs", "../outside.yaml", "specs/*"):
        content, found = git.show(repository, commit, folder / path)
        assert content is None
        assert _codes(found) == ["FTS672"]


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    repository, found = git.find_repository(tmp_path)
    assert repository is None
    assert _codes(found) == ["FTS670"]
    assert git.head(tmp_path) is None
    assert not git.is_dirty(tmp_path)
    monkeypatch.setenv("PATH", "")
    _, found = git.find_repository(tmp_path)
    assert "not installed" in found.items[0].detail


def test_what_changed_since(folder: Path) -> None:
    (folder / "new.yaml").write_text("b: 1\n")
    (folder / "rows.jsonl").unlink()
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("")
    repository = _repository(folder)
    commit, _ = git.commit_of(repository, "HEAD~1")
    assert commit is not None
    changed = {each.path.name: each.status for each in git.changed_files(repository, commit)}
    assert changed == {
        ".gitignore": "added",
        "new.yaml": "added",
        "rows.jsonl": "deleted",
        "ä.yaml": "changed",
    }
    only = git.changed_files(repository, commit, [folder / "new.yaml", folder.parent / "else"])
    assert [each.path for each in only] == [folder / "new.yaml"]
    assert not git.changed_files(repository, commit, [folder.parent / "else"])


def test_a_file_that_only_left_the_index_is_still_there(folder: Path) -> None:
    _git(folder, "rm", "-q", "--cached", "rows.jsonl")
    repository = _repository(folder)
    commit = git.head(folder)
    assert commit is not None
    assert [(each.path.name, each.status) for each in git.changed_files(repository, commit)] == [
        ("rows.jsonl", "changed")
    ]


def test_dirty(folder: Path) -> None:
    spec = folder / "specs" / "ä.yaml"
    assert not git.is_dirty(folder)
    assert not git.is_dirty(folder, [spec])
    (folder / "new.yaml").write_text("b: 1\n")
    assert not git.is_dirty(folder)  # tracked files only
    assert git.is_dirty(folder, [folder / "new.yaml"])
    spec.write_text("a: 3\n")
    assert git.is_dirty(folder)
    assert git.is_dirty(folder / "specs", [spec])
    assert not git.is_dirty(folder, [folder / "rows.jsonl"])
    assert not git.is_dirty(folder, [folder.parent / "elsewhere"])


def test_a_pull_request_is_compared_with_where_it_began(folder: Path) -> None:
    start = _git(folder, "rev-parse", "HEAD")
    _git(folder, "checkout", "-qb", "work")
    (folder / "work").write_text("")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "work")
    _git(folder, "checkout", "-q", "main")
    (folder / "rows.jsonl").write_text("{}\n{}\n")
    _git(folder, "commit", "-qam", "main moved on")
    _git(folder, "checkout", "-q", "work")
    repository = _repository(folder)
    assert git.base_of(repository, "main") == (start, Diagnostics())


def test_histories_with_nothing_in_common_are_compared_as_they_are(folder: Path) -> None:
    _git(folder, "checkout", "-q", "--orphan", "other")
    _git(folder, "commit", "-qm", "begun anew")
    base, found = git.base_of(_repository(folder), "main")
    assert base == _git(folder, "rev-parse", "main")
    assert _codes(found) == ["FTS675"]
    assert not found.has_errors


def test_a_shallow_clone_without_the_common_commit_compares_nothing(folder: Path, tmp_path: Path) -> None:
    _git(folder, "checkout", "-qb", "work", "HEAD~1")
    (folder / "rows.jsonl").write_text("{}\n{}\n")
    _git(folder, "commit", "-qam", "work")
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", "--depth", "1", "--no-single-branch", f"file://{folder}", "clone")
    base, found = git.base_of(_repository(clone), "origin/main")
    assert (base, _codes(found)) == (None, ["FTS671"])
    assert "--unshallow" in found.items[0].help
    _git(clone, "fetch", "-q", "--unshallow")
    assert git.base_of(_repository(clone), "origin/main")[0] == _git(folder, "rev-parse", "main~1")


def test_nothing_is_written_and_the_environment_of_a_hook_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    _git(other, "init", "-q")
    (folder / "rows.jsonl").touch()  # the index's times are stale now
    before = {path: path.stat().st_mtime_ns for path in (folder / ".git").rglob("*")}
    head = git.head(folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", os.devnull)
    assert git.head(folder) == head
    assert not git.is_dirty(folder)
    repository = _repository(folder)
    assert head is not None
    assert not git.changed_files(repository, head)
    assert {path: path.stat().st_mtime_ns for path in (folder / ".git").rglob("*")} == before


def test_a_shallow_clone_says_what_to_fetch(folder: Path, tmp_path: Path) -> None:
    _git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", "clone")
    _, found = git.commit_of(_repository(tmp_path / "clone"), "HEAD~1")
    assert "--unshallow" in found.items[0].help
    _git(tmp_path, "clone", "-q", str(folder), "whole")
    _, found = git.commit_of(_repository(tmp_path / "whole"), "origin/feature/x")
    assert found.items[0].help == "git fetch origin feature/x"


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    assert git.head(tmp_path) is None
    assert git.commit_of(_repository(tmp_path), "HEAD")[0] is None
