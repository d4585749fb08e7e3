import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.store.artifacts import MANIFEST, Artifacts
from ftspec.store.files import clean_leftovers
from ftspec.store.project import Project
from tests.store.conftest import key_of

KEY = key_of(7)


def make_folder(path: Path, text: str = "hello") -> Path:
    (path / "model").mkdir(parents=True)
    (path / "rows.jsonl").write_text(text)
    (path / "model" / "weights").write_bytes(b"x" * 100_000)
    return path


def test_state_is_ignored_by_git(project: Project) -> None:
    assert (project.state / ".gitignore").read_text() == "*\n"


def test_find_project(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert Project.find(below).root == tmp_path
    (tmp_path / "a" / ".ftspec").mkdir()
    assert Project.find(below).root == tmp_path / "a"


def test_publish_moves_and_is_found(project: Project, tmp_path: Path) -> None:
    store = Artifacts(project)
    assert store.find("split", KEY) is None
    folder = make_folder(tmp_path / "out")
    made = store.publish("split", KEY, folder, {"a": 1}, algorithm=3)
    assert not folder.exists()
    found = store.find("split", KEY)
    assert found == made
    assert found is not None
    assert [file.name for file in found.files] == ["model/weights", "rows.jsonl"]
    assert (found.document, found.algorithm) == ({"a": 1}, 3)
    assert found.path.name == KEY.removeprefix("sha256:")[:20]
    assert not store.verify("split", KEY).items
    assert list(store.all()) == [made]


def test_publish_again_keeps_the_first(project: Project, tmp_path: Path) -> None:
    store = Artifacts(project)
    first = store.publish("split", KEY, make_folder(tmp_path / "one"), {})
    second = store.publish("split", KEY, make_folder(tmp_path / "two", "other"), {})
    assert first == second
    assert not (tmp_path / "two").exists()
    assert (second.path / "rows.jsonl").read_text() == "hello"


def test_damage_counts_as_absent_and_is_replaced(project: Project, tmp_path: Path) -> None:
    store = Artifacts(project)
    path = store.publish("split", KEY, make_folder(tmp_path / "one"), {}).path
    (path / "rows.jsonl").write_text("HELLO")  # same size
    assert store.find("split", KEY) is None
    (finding,) = store.verify("split", KEY)
    assert finding.code.id == "FTS612"
    assert "rows.jsonl was changed" in finding.detail
    store.publish("split", KEY, make_folder(tmp_path / "two"), {})
    assert store.find("split", KEY) is not None


def test_large_files_are_verified_by_content_only(project: Project, tmp_path: Path) -> None:
    store = Artifacts(project)
    path = store.publish("split", KEY, make_folder(tmp_path / "one"), {}).path
    (path / "model" / "weights").write_bytes(b"y" * 100_000)
    assert store.find("split", KEY) is not None
    assert len(store.verify("split", KEY)) == 1
    (path / "model" / "weights").write_bytes(b"y")
    assert store.find("split", KEY) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_unreadable_manifest(project: Project, tmp_path: Path, text: str) -> None:
    store = Artifacts(project)
    path = store.publish("split", KEY, make_folder(tmp_path / "one"), {}).path
    (path / MANIFEST).write_text(text)
    assert store.find("split", KEY) is None
    assert len(store.verify("split", KEY)) == 1
    assert len(store.verify_all()) == 1


def test_leftovers_of_dead_processes_are_cleaned(project: Project, tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True, text=True
    )
    parent = project.artifacts / "split"
    for name in (
        f".partial-{dead.stdout.strip()}-x",
        f".trash-{dead.stdout.strip()}-1-y",
        f".partial-{os.getppid()}-z",
    ):
        (parent / name).mkdir(parents=True)
    assert clean_leftovers(parent) == 2
    assert [path.name for path in parent.iterdir()] == [f".partial-{os.getppid()}-z"]
