import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.store.artifacts import MANIFEST, Artifacts
from ftspec.store.files import clean_leftovers, partial_path, scratch_folder, write_atomically
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


def test_leftovers_of_dead_processes_are_cleaned(project: Project) -> None:
    """Of this machine by their process, of others on the same disk by their age."""
    parent = project.artifacts / "split"
    script = "import sys, pathlib; from ftspec.store.files import partial_path; print(partial_path(pathlib.Path(), 'x'))"
    dead = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()
    machine, pid, _ = dead.removeprefix(".partial-").split("-", 2)
    others = f".partial-{'0' * 8}-{pid}-01234567-x"
    gone = (
        dead,
        dead.replace("partial", "trash"),
        f".trash-{'1' * 8}-{os.getpid()}-old",
        f".partial-{pid}-older",
    )
    kept = (f".partial-{machine}-{os.getppid()}-01234567-x", others, partial_path(parent, "mine").name)
    for name in (*gone, *kept, ".partial-x", "x"):
        (parent / name).mkdir(parents=True)
    for name in gone[2:]:
        os.utime(parent / name, (1.0, 1.0))
    assert clean_leftovers(parent) == len(gone)
    assert {path.name for path in parent.iterdir()} == {*kept, ".partial-x", "x"}


def test_partial_folders_of_two_at_once_differ(tmp_path: Path) -> None:
    """Machines that share a disk give out the same process numbers."""
    assert partial_path(tmp_path, "x") != partial_path(tmp_path, "x")
    with scratch_folder(tmp_path / "new", "x") as one, scratch_folder(tmp_path / "new", "x") as other:
        assert one != other
    assert not any((tmp_path / "new").iterdir())


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)  # 254 bytes
    write_atomically(path, "text")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["text"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
