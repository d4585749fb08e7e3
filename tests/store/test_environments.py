"""Pointers of environments: the file, its history, and what the ledger is told."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.diagnostics.model import FtspecError
from ftspec.store.environments import environments_lock, pointer, pointers_to, read_pointers
from ftspec.store.history import earlier, history, move, verify_environments
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.promotion import Measured, Promotion
from ftspec.store.rebuild import rebuild, verify


def made(**changes: Any) -> Promotion:
    values: dict[str, Any] = {
        "environment": "production",
        "name": "search",
        "kind": "Embedding",
        "number": 0,
        "action": "promote",
        "version": "v1",
        "digest": "sha256:" + "1" * 64,
        "space_id": "sha256:" + "2" * 64,
        "run_id": "search-aaaaaaaa",
        "from_version": None,
        "from_digest": None,
        "basis": "registered",
        "verdict": "passed",
        "comparison": None,
        "measured": Measured(metric="ndcg@10", gain=0.1, low=0.05, high=0.15, rows=40),
        "flags": (),
        "note": "",
        "by": "Ada",
        "promoted": "2026-01-01T10:00:00+00:00",
        "previous": None,
    }
    return Promotion(**{**values, **changes})


def put(project: Project, version: str, **changes: Any) -> Promotion:
    """Move the pointer as a promotion does."""
    environment = changes.get("environment", "production")
    present = pointer(project, changes.get("name", "search"), environment)
    previous = None if present is None else present.id
    with environments_lock(project):
        moved, found = move(
            project,
            made(**{"version": version, "previous": previous, **changes}),
            expected=previous,
        )
    assert not found.items
    return moved


def fault(project: Project) -> str:
    with pytest.raises(FtspecError) as raised:
        read_pointers(project)
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code.id == "FTS680"
    assert diagnostic.help
    return diagnostic.detail


def rows(project: Project, sql: str = "SELECT version, number FROM promotions ORDER BY number") -> Any:
    return Ledger(project).query_readonly(sql).rows


def test_pointers_move_and_are_remembered(project: Project) -> None:
    assert pointer(project, "search", "production") is None
    first = put(project, "v1")
    second = put(project, "v2", note="better", flags=("--allow-space-break",))
    put(project, "v1", environment="staging")
    assert (first.number, second.number, second.previous) == (1, 2, first.id)
    assert pointer(project, "search", "production") == second
    known, found = history(project)
    assert not found.items
    assert [(each.environment, each.version) for each in known] == [
        ("production", "v1"), ("production", "v2"), ("staging", "v1"),
    ]  # fmt: skip
    assert list(earlier(second, known)) == [first]
    assert [each.environment for each in pointers_to(project, "search", "v1")] == ["staging"]
    assert rows(project) == (("v1", 1), ("v1", 1), ("v2", 2))
    assert rows(project, "SELECT gain, flags FROM promotions WHERE version = 'v2'") == (
        (0.1, '["--allow-space-break"]'),
    )
    assert not verify_environments(project).items


def test_the_file_is_the_same_bytes_for_the_same_pointers(project: Project) -> None:
    put(project, "v1")
    put(project, "v7", name="answers", kind="LLM", space_id=None)
    before = project.environments.read_bytes()
    document = json.loads(before)
    assert sorted(document) == ["environments", "version"]
    assert list(document["environments"]["production"]) == ["answers", "search"]
    assert before.endswith(b"}\n")
    assert str(project.root).encode() not in before
    from ftspec.store.environments import write_pointers

    write_pointers(project, dict(reversed(list(read_pointers(project).items()))))
    assert project.environments.read_bytes() == before


def test_the_order_needs_no_clock(project: Project) -> None:
    put(project, "v1", promoted="2026-06-01T00:00:00+00:00")
    put(project, "v2", promoted="2020-01-01T00:00:00+00:00")  # the clock went backwards
    known, _ = history(project)
    assert [each.version for each in known] == ["v1", "v2"]


def test_a_pointer_that_moved_meanwhile_is_not_overwritten(project: Project) -> None:
    first = put(project, "v1")
    second = put(project, "v2")
    with environments_lock(project), pytest.raises(FtspecError, match=r"FTS686.*points to v2 of search now"):
        move(project, made(version="v3"), expected=first.id)
    with environments_lock(project), pytest.raises(FtspecError, match="FTS686"):
        move(project, made(version="v3"), expected=None)
    assert pointer(project, "search", "production") == second


def test_two_at_once_wait_for_each_other_and_nothing_is_lost(project: Project) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ftspec.store.project import Project\n"
        "from tests.store.test_environments import put\n"
        "project = Project(Path(sys.argv[1]))\n"
        "for number in range(1, 9):\n"
        "    put(project, f'v{number}', environment=sys.argv[2])\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(project.root), name], cwd=Path.cwd())
        for name in ("production", "staging")
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    assert {place: each.number for place, each in read_pointers(project).items()} == {
        ("production", "search"): 8,
        ("staging", "search"): 8,
    }
    assert len(history(project)[0]) == 16
    assert rows(project, "SELECT count(*) FROM promotions") == ((16,),)
    assert not verify(project).items


def test_the_wait_has_an_end(project: Project) -> None:
    with (
        environments_lock(project),
        pytest.raises(FtspecError, match="FTS601"),
        environments_lock(project, wait_seconds=0.1),
    ):
        pass


def test_a_fresh_clone_learns_from_the_file(project: Project, tmp_path: Path) -> None:
    put(project, "v1")
    second = put(project, "v2")
    clone = Project(tmp_path / "clone")
    clone.create()
    clone.environments.write_bytes(project.environments.read_bytes())
    assert history(clone)[0] == (second,)
    third = put(clone, "v3")
    assert third.number == 3
    assert [each.version for each in history(clone)[0]] == ["v2", "v3"]
    # and the first project learns of the third when git brings the file back
    project.environments.write_bytes(clone.environments.read_bytes())
    assert [each.version for each in history(project)[0]] == ["v1", "v2", "v3"]
    assert next(earlier(third, history(project)[0])) == second
    rebuild(project)
    assert [version for version, _ in rows(project)] == ["v1", "v2", "v3"]


def test_rebuild_and_verify(project: Project) -> None:
    put(project, "v1")
    put(project, "v2")
    before = rows(project, "SELECT * FROM promotions ORDER BY number")
    assert not verify(project).items
    with Ledger(project).write() as db:
        db.execute("DELETE FROM promotions WHERE version = 'v1'")
        db.execute("UPDATE promotions SET promotion_id = 'other'")
    details = [each.detail for each in verify(project)]
    assert "the promotion of search v1 in production is not in the ledger" in details
    assert "promotion other is in the ledger, but has no record" in details
    project.ledger.unlink()
    rebuilt, found = rebuild(project)
    assert not found.items
    assert rebuilt.promotions == 2
    assert rows(project, "SELECT * FROM promotions ORDER BY number") == before


def test_a_lost_file_is_not_an_empty_environment(project: Project) -> None:
    second = [put(project, "v1"), put(project, "v2")][1]
    text = project.environments.read_bytes()
    project.environments.unlink()
    with environments_lock(project), pytest.raises(FtspecError, match=r"FTS680.*promotions are recorded"):
        move(project, made(version="v3"), expected=None)
    assert [each.code.id for each in verify(project)] == ["FTS680"]
    rebuilt, _ = rebuild(project)
    assert rebuilt.pointers == {("production", "search"): second}
    assert not rebuild(project)[0].pointers
    assert project.environments.read_bytes() == text
    assert pointer(project, "search", "production") == second


def test_rebuild_says_which_pointers_it_writes_and_what_the_commit_has(project: Project) -> None:
    put(project, "v1")
    put(project, "v2")
    put(project, "v1", environment="staging")
    text = project.environments.read_bytes()
    with environments_lock(project):
        present = pointer(project, "search", "production")
        assert present is not None
        move(project, made(version="v3", previous=present.id), expected=present.id)
    for arguments in (("init", "-q"), ("add", project.environments.name), ("commit", "-qm", "v3")):
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=project.root, check=True)
    for path in project.promotions.glob("*.json"):  # of another clone: here they are not known
        if '"v3"' in path.read_text():
            path.unlink()
    project.environments.unlink()
    run = CliRunner().invoke(cli, ["state", "rebuild", "--project", str(project.root)])
    assert run.exit_code == 0, run.output
    assert "production of search: v3 (as in HEAD) → v2\n" in run.stdout
    assert "staging of search: v1\n" in run.stdout
    assert "git checkout HEAD -- ftspec.environments.json" in run.stdout
    assert project.environments.read_bytes() == text
    assert (
        "environments"
        not in CliRunner().invoke(cli, ["state", "rebuild", "--project", str(project.root)]).stdout
    )


def test_a_file_that_git_took_back_is_told(project: Project) -> None:
    put(project, "v1")
    text = project.environments.read_bytes()
    put(project, "v2")
    project.environments.write_bytes(text)
    (finding,) = verify(project)
    assert (finding.code.id, finding.is_error) == ("FTS695", False)
    assert "production points to v1 of search; the last promotion recorded here led to v2" in finding.detail
    assert put(project, "v3").number == 3


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text[: len(text) // 2], "it is no JSON, or was cut off"),
        (lambda text: "", "it is no JSON"),
        (lambda text: "[" * 200_000, "it is no JSON"),
        (lambda text: "[]", "not of the form"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2; this ftspec reads 1"),
        (lambda text: text.replace('"version": "v1"', '"version": "v9"'), "'search': it was changed"),
        (lambda text: text.replace('"by": "Ada",', '"by": "Ada", "x": 1,'), "unknown keys x"),
        (lambda text: text.replace('"number": 1,', ""), "number: "),
        (lambda text: text.replace('"search"', '"../search"'), "not a name"),
        (
            lambda text: f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n",
            "line 1: a merge conflict was left in it",
        ),
        (lambda text: '{"version": 1, "environments": {"production": 7}}', "'production' is not of the form"),
        (lambda text: '{"version": 1, "environments": {"p": {"s": 7}}}', "'s' is not of the form"),
        (lambda text: '{"version": 1, "environments": {}, "more": 1}', "not of the form"),
    ],
)
def test_a_file_that_cannot_be_used(project: Project, edit: Any, said: str) -> None:
    put(project, "v1")
    project.environments.write_text(edit(project.environments.read_text()))
    detail = fault(project)
    assert detail.startswith("ftspec.environments.json: ")
    assert said in detail
    assert "FTS680" in [each.code.id for each in verify(project)]
    with environments_lock(project), pytest.raises(FtspecError, match="FTS680"):
        move(project, made(version="v2"), expected=None)


def test_bytes_that_are_no_text(project: Project) -> None:
    project.environments.write_bytes(b"\xff\xfe")
    assert "it cannot be read" in fault(project)


def test_a_changed_record_is_told(project: Project) -> None:
    first = put(project, "v1")
    put(project, "v2")
    path = project.promotions / f"{first.id}.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("Ada", "Eve"))
    found = verify(project)
    assert found.items[0].code.id == "FTS680"
    assert f".ftspec/promotions/{first.id}.json: it was changed" in found.items[0].detail
    path.write_text("{")
    assert "FTS680" in [each.code.id for each in verify(project)]


def test_a_ledger_that_is_taken_does_not_stop_a_move(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, "v1")
    project.ledger.write_bytes(b"x" * 9000)
    with environments_lock(project):
        present = pointer(project, "search", "production")
        assert present is not None
        moved, found = move(project, made(version="v2", previous=present.id), expected=present.id)
    (warning,) = found
    assert not warning.is_error
    assert "state rebuild" in warning.help
    assert pointer(project, "search", "production") == moved
    rebuilt, _ = rebuild(project)
    assert rebuilt.promotions == 2


def test_ids_cover_everything() -> None:
    from dataclasses import fields

    from ftspec.store.promotion import with_id

    first = with_id(made())
    changes: Any = {each.name: f"other {each.name}" for each in fields(Promotion)}
    others = {
        with_id(replace(first, **{each.name: changes[each.name]})).id
        for each in fields(Promotion)
        if each.name not in ("id", "measured", "flags")
    }
    others |= {with_id(replace(first, flags=("--x",))).id, with_id(replace(first, measured=None)).id}
    assert first.id not in others
    assert len(others) == len(fields(Promotion)) - 1
