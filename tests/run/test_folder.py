import json
import os
from pathlib import Path

import pytest

from ftspec.run.folder import find_run, find_unfinished, new_run_id
from ftspec.run.follow import follow_lines
from ftspec.run.logtext import clean_line, secrets_of
from ftspec.store.project import Project

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def make_run(
    project: Project, run_id: str, digest: str = DIGEST, *, finished: bool = True, age: int = 0
) -> Path:
    folder = project.runs / run_id
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"digest": digest}))
    if finished:
        (folder / "record.json").write_text("{}")
    os.utime(folder, (1e9 - age, 1e9 - age))
    return folder


def test_run_ids(project: Project) -> None:
    assert new_run_id(project, "demo", DIGEST) == "demo-abababab"
    make_run(project, "demo-abababab")
    assert new_run_id(project, "demo", DIGEST) == "demo-abababab-2"
    make_run(project, "demo-abababab-2", DIGEST + "other", finished=False)
    assert new_run_id(project, "demo", DIGEST) == "demo-abababab-3"
    make_run(project, "demo-abababab-3", finished=False)
    assert new_run_id(project, "demo", DIGEST) == "demo-abababab-3"


def test_find_unfinished(project: Project) -> None:
    assert find_unfinished(project, DIGEST) is None
    make_run(project, "a-abababab")
    make_run(project, "b-abababab", "sha256:other", finished=False)
    assert find_unfinished(project, DIGEST) is None
    make_run(project, "c-abababab", finished=False, age=10)
    folder = make_run(project, "d-abababab", finished=False)
    assert find_unfinished(project, DIGEST) == folder


def test_find_run(project: Project) -> None:
    _, found = find_run(project, None)
    assert "none yet" in next(iter(found)).detail
    make_run(project, "demo-abababab", age=20)
    newest = make_run(project, "demo-abababab-2", age=5)
    other = make_run(project, "demo-x-abababab")
    assert find_run(project, None)[0] == other
    assert find_run(project, "demo")[0] == newest
    assert find_run(project, "demo-abababab")[0] == project.runs / "demo-abababab"
    folder, found = find_run(project, "nope")
    assert folder is None
    assert [item.code.id for item in found] == ["FTS614"]


def test_lines_are_made_fit_to_show() -> None:
    assert clean_line("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\r\n") == "red x"
    assert clean_line(" 10%\r 90%\r") == " 90%"
    assert secrets_of({"API_KEY": "long-enough", "SOME_TOKEN": "abc", "HOME": "/home/long"}) == (
        "long-enough",
    )


def test_follow_without_a_run_ends_at_the_end(project: Project) -> None:
    folder = make_run(project, "demo-abababab", finished=False)
    (folder / "trainer.log").write_bytes(b"one\n\x1b[1mtwo\x1b[0m\nrest")
    assert list(follow_lines(project, folder / "trainer.log", follow=True, raw=False)) == [
        "one",
        "two",
        "rest",
    ]
    assert (
        list(follow_lines(project, folder / "trainer.log", follow=False, raw=True))[1] == "\x1b[1mtwo\x1b[0m"
    )
