"""Which specs changed since a revision: their own text, what they extend, what they name."""

import json
import subprocess
from pathlib import Path

import pytest

from ftspec.driver.since import changed_specs
from ftspec.driver.specs import project_specs
from ftspec.store.project import Project
from tests.gitops.conftest import Repository, repository

__all__ = ["repository"]  # the fixture

HEAD = "apiVersion: ftspec/v1\nkind: Embedding\n"
FILES = {
    "specs/rows.yaml": f"{HEAD}data:\n  train:\n    - {{type: file, path: '../data/rows.jsonl'}} # ../data/other.jsonl\n",
    "specs/folder.yaml": f"{HEAD}data:\n  train:\n    - type: code\n      path: ../src\n",
    "specs/here.yaml": f"{HEAD}data:\n  train:\n    - type: code\n      path: .\n",
    "specs/child.yaml": f"extends:\n  - parts/base.yaml\n{HEAD}",
    "specs/parts/base.yaml": "extends: [root.yaml]\ndata:\n  train:\n    - {type: file, path: own.jsonl}\n",
    "specs/parts/root.yaml": "train:\n  seed: 1\n",
    "specs/own.jsonl": "{}\n",
    "specs/gone.yaml": HEAD,
    "specs/notes.yaml": "a: list of groceries\n",
    "data/rows.jsonl": "{}\n",
    "data/other.jsonl": "{}\n",
    "src/a/b.py": "pass\n",
    ".gitignore": "ignored.yaml\n.ftspec\n",
}


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "repo"
    for name, text in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    _git(top, "init", "-q", "-b", "main")
    _git(top, "add", ".")
    _git(top, "commit", "-qm", "one")
    monkeypatch.chdir(top)
    return top


def _changed(top: Path, *specs: str) -> dict[str, str]:
    found, faults = changed_specs("main", [Path(each) for each in specs], project=Project(top))
    assert not faults.has_errors
    assert found is not None
    return {str(each.path): each.status for each in found}


@pytest.mark.parametrize(
    ("file", "specs"),
    [
        ("data/rows.jsonl", {"specs/rows.yaml"}),
        ("data/other.jsonl", set()),  # named in a comment only
        ("src/a/b.py", {"specs/folder.yaml"}),
        ("src/new.py", {"specs/folder.yaml"}),
        ("specs/parts/root.yaml", {"specs/child.yaml", "specs/here.yaml"}),
        ("specs/own.jsonl", {"specs/child.yaml", "specs/here.yaml"}),
        ("specs/notes.yaml", {"specs/here.yaml"}),
        ("README.md", set()),
    ],
)
def test_what_a_change_reaches(top: Path, file: str, specs: set[str]) -> None:
    (top / file).write_text("seed: 2\n")
    found = _changed(top)
    assert set(found) == specs
    assert set(found.values()) <= {"changed"}


def test_added_deleted_and_chosen(top: Path) -> None:
    (top / "specs" / "gone.yaml").unlink()
    (top / "specs" / "new.yaml").write_text(f"{HEAD}metadata: {{name: new}}\n")
    (top / "specs" / "ignored.yaml").write_text(HEAD)
    found = _changed(top)
    assert {name: found[name] for name in ("specs/gone.yaml", "specs/new.yaml")} == {
        "specs/gone.yaml": "deleted",
        "specs/new.yaml": "added",
    }
    assert "specs/ignored.yaml" not in found
    assert _changed(top, "specs/new.yaml") == {"specs/new.yaml": "added"}


def test_what_comes_back_elsewhere_is_renamed(top: Path) -> None:
    (top / "specs" / "gone.yaml").rename(top / "specs" / "moved.yaml")
    for chosen in ((), ("specs/moved.yaml",), ("specs/gone.yaml",)):
        found = _changed(top, *chosen)
        assert found["specs/moved.yaml"] == "renamed"
        assert "specs/gone.yaml" not in found


@pytest.mark.parametrize("place", [".hidden/a.yaml", "node_modules/a.yaml", "venv/a.yaml"])
def test_what_is_no_spec_of_the_project_is_none_of_its_changes(top: Path, place: str) -> None:
    """The same files count as in a list of all specs."""
    (top / "venv").mkdir()
    (top / "venv" / "pyvenv.cfg").write_text("")
    path = top / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD)
    assert place not in _changed(top)
    assert path not in project_specs(top)
    assert _changed(top, place)[place] == "added"  # asked for by name


def test_what_main_did_meanwhile_is_no_change_of_a_branch(top: Path) -> None:
    _git(top, "checkout", "-qb", "work")
    (top / "data" / "rows.jsonl").write_text("{}\n{}\n")
    _git(top, "commit", "-qam", "work")
    _git(top, "checkout", "-q", "main")
    (top / "src" / "a" / "b.py").write_text("x = 1\n")
    _git(top, "commit", "-qam", "main")
    _git(top, "checkout", "-q", "work")
    assert set(_changed(top)) == {"specs/rows.yaml"}


def test_every_spec_that_a_project_has_is_seen(top: Path) -> None:
    """`plan --all --since` shows no spec as unchanged that it merely does not know."""
    texts = {
        "quoted.yaml": '"apiVersion": ftspec/v1\nkind: Embedding\n',
        "marked.yaml": f"\ufeff{HEAD}",
        "middle.yaml": "extends: quoted.yaml\nmetadata: {name: middle}\n",
        "leaf.yaml": "extends: middle.yaml\nmetadata: {name: leaf}\n",
    }
    folder = top / "more"
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert {path.name for path in project_specs(folder)} == set(texts)
    _git(top, "add", "more")
    _git(top, "commit", "-qm", "two")
    for name, text in texts.items():
        (folder / name).write_text(f"{text}train: {{seed: 2}}\n", encoding="utf-8")
        assert {f"more/{name}"} <= set(_changed(top)), name
        (folder / name).write_text(text, encoding="utf-8")


def test_deleted_new_renamed_and_broken_specs_are_shown(repository: Repository) -> None:
    """One that cannot be read keeps nobody from seeing the others."""
    repository.git("checkout", "-q", "main")
    for name in ("kept", "moved", "broken"):
        text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
        repository.path(f"specs/{name}.yaml").write_text(text.replace("name: pairs", f"name: {name}"))
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.path("specs/classes.yaml").unlink()
    repository.path("specs/moved.yaml").rename(repository.path("specs/there.yaml"))
    repository.replace("specs/there.yaml", "num_train_epochs: 2", "num_train_epochs: 3")
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8")
    repository.path("specs/new.yaml").write_text(text.replace("name: pairs", "name: new"))
    result = repository.run("diff", "--since", "main", "--format", "json", "--detailed-exitcode", code=2)
    found = json.loads(result.stdout)
    assert (found["new"], found["deleted"]) == (["specs/new.yaml"], ["specs/classes.yaml"])
    assert found["renamed"] == [{"old": "specs/moved.yaml", "new": "specs/there.yaml"}]
    assert [each["category"] for each in found["diffs"]] == ["retrain"]
    text = repository.run("diff", "--since", "main").stdout
    assert "specs/classes.yaml is deleted" in text
    result = repository.run("diff", "--since", "main", "specs/classes.yaml", "--format", "json")
    assert json.loads(result.stdout)["deleted"] == ["specs/classes.yaml"]
    repository.replace("specs/broken.yaml", "kind: Embedding", "kind: Embeding")
    result = repository.run("diff", "--since", "main", "--format", "json", code=1)
    assert "FTS201" in result.stderr
    assert json.loads(result.stdout)["deleted"] == ["specs/classes.yaml"]
