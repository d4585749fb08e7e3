"""The commands `runs`, `logs`, `sql` and `state`, as a user calls them."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.store.leases import project_lease
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.run_record import finish_run
from tests.store.conftest import make_record, publish_evidence, write_plan

PROGRAM = [sys.executable, "-c", "from ftspec.cli.main import main; main()"]


def call(project: Project, *arguments: str) -> Result:
    command, *rest = arguments
    first = [command, rest.pop(0)] if command == "state" else [command]
    return CliRunner().invoke(cli, [*first, "--project", str(project.root), *rest])


@pytest.fixture
def used(project: Project) -> Project:
    publish_evidence(project)
    other = make_record("other-bbbbbbbb", name="other", verdict="failed", started="2026-01-01T10:01:00Z")
    for record in (make_record(), other):
        write_plan(project, record)
        finish_run(project, record)
    return project


def test_nothing_yet(tmp_path: Path) -> None:
    project = Project(tmp_path)
    runs = call(project, "runs")
    assert (runs.exit_code, runs.stdout) == (0, "")
    assert "no runs yet" in runs.stderr
    assert call(project, "runs", "--format", "json").stdout == "[]\n"
    for arguments in (("sql", "select 1"), ("logs",)):
        result = call(project, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "there is none yet" in result.stderr
    assert not project.state.exists()


def test_runs(used: Project) -> None:
    (used.runs / "demo-cccccccc").mkdir()
    lines = call(used, "runs").stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        ["demo-cccccccc", "unfinished"],
        ["other-bbbbbbbb", "failed"],
        ["demo-aaaaaaaa", "passed"],
    ]
    assert "+0.100" in lines[-1]
    assert len(call(used, "runs", "demo").stdout.splitlines()) == 4
    with project_lease(used, "ftspec apply"):
        document = json.loads(call(used, "runs", "--format", "json").stdout)
    assert [run["state"] for run in document] == ["running", "finished", "finished"]
    assert document[2]["metrics"] == {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.6}}


def test_sql_formats(used: Project) -> None:
    query = "select run_id, metrics, 0.1::double as x, null as n from runs where name = 'demo'"
    human = call(used, "sql", query).stdout.splitlines()
    assert human[0].split() == ["run_id", "metrics", "x", "n"]
    assert human[-1] == "1 row"
    (row,) = json.loads(call(used, "sql", "--format", "json", query).stdout)
    assert row == {
        "run_id": "demo-aaaaaaaa",
        "metrics": {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.6}},
        "x": 0.1,
        "n": None,
    }
    text = call(used, "sql", "--format", "csv", "select 'a,\"b' as t, true as u").stdout
    assert text == 't,u\n"a,""b",true\n'
    assert json.loads(call(used, "sql", "--format", "json", "select 1 a, 2 a").stdout) == [{"a": 1, "a_1": 2}]


def test_sql_fault(used: Project) -> None:
    result = call(used, "sql", "select nonsense from runs")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "FTS613" in result.stderr


def test_state(used: Project, tmp_path: Path) -> None:
    assert call(used, "state", "verify").exit_code == 0
    with Ledger(used).write() as db:
        db.execute("DELETE FROM runs")
    broken = call(used, "state", "verify")
    assert broken.exit_code == 1
    assert "FTS621" in broken.stderr
    assert call(used, "state", "rebuild").stdout.startswith("rebuilt: 2 runs, 16 query scores")
    assert call(used, "state", "verify").exit_code == 0
    copy = str(tmp_path / "copy.duckdb")
    assert call(used, "state", "backup", copy).stdout == copy + "\n"
    assert call(used, "state", "backup", copy).exit_code == 64
    assert call(used, "state", "backup", "--force", copy).exit_code == 0
    with project_lease(used, "ftspec apply a.yaml"):
        locked = call(used, "state", "rebuild")
    assert locked.exit_code == 4
    assert "ftspec apply a.yaml" in locked.stderr


def test_logs(used: Project) -> None:
    folder = used.runs / "demo-aaaaaaaa"
    (folder / "trainer.log").write_text("one\n\x1b[1mtwo\x1b[0m\n")
    (folder / "events.jsonl").write_text('{"event": "start"}\n')
    assert call(used, "logs", "demo").stdout == "one\ntwo\n"
    assert call(used, "logs", "demo", "--events").stdout == '{"event": "start"}\n'
    missing = call(used, "logs", "nope")
    assert missing.exit_code == 1
    assert "FTS614" in missing.stderr


def test_logs_follow_until_the_run_ends(project: Project) -> None:
    folder = project.runs / "demo-aaaaaaaa"
    folder.mkdir(parents=True)
    log = folder / "trainer.log"
    log.write_text("one\n")
    result: list[Result] = []
    with project_lease(project, "ftspec apply"):
        reader = threading.Thread(target=lambda: result.append(call(project, "logs", "-f")))
        reader.start()
        reader.join(0.5)
        with log.open("a") as file:
            file.write("two\n")
        reader.join(0.5)
        assert reader.is_alive()
        (folder / "record.json").write_text("{}")
        reader.join(5)
    assert not reader.is_alive()
    assert (result[0].exit_code, result[0].stdout) == (0, "one\ntwo\n")


def test_a_reader_that_leaves_ends_the_command_quietly(used: Project) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "sql", "--project", str(used.root), "from range(200000)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )
    with program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.read(10)
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 0


@pytest.mark.parametrize("command", ["runs", "logs", "sql", "state"])
def test_help_has_examples(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert f"    ftspec {command}" in result.stdout
