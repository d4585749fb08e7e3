"""`ftspec synth` as a user runs it: specs, both streams, exit codes, and processes that are stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.plan.llm_data import LlmSource
from tests.synth.conftest import DOCUMENTS
from tests.synth.scripted_server import Body, Say, Server, fault, good_model

Serve = Callable[..., Server]

EMBEDDING = """\
apiVersion: ftspec/v1
kind: Embedding
metadata: {{name: docs}}
model: {{base: all-MiniLM-L6-v2}}
data:
  train:
    - type: documents
      path: docs.jsonl
      roles: {{id: id, text: text}}
      synthesize: {synthesize}
train: {{objective: {{type: contrastive}}}}
"""
RAFT = """\
apiVersion: ftspec/v1
kind: LLM
metadata: {{name: docs}}
model: {{base: ./model}}
adapter: {{type: lora}}
data:
  train:
    - type: raft
      documents: {{path: docs.jsonl, roles: {{id: id, text: text}}}}
      distractors: 2
      answers: written
      {questions}
      synthesize: {synthesize}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / ".ftspec").mkdir()
    lines = [json.dumps({"id": id, "text": text}) for id, text in DOCUMENTS]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def write_spec(project: Path, template: str = EMBEDDING, *, questions: str = "", **synthesize: Any) -> Path:
    spec = project / "spec.yaml"
    section = json.dumps({"model": "good:latest", "timeout_seconds": 20, **synthesize})
    spec.write_text(template.format(synthesize=section, questions=questions or "seed: 1"))
    return spec


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["synth", "spec.yaml", *arguments])


def test_check_then_write_then_nothing_is_left(serve: Serve, project: Path) -> None:
    server = serve(good_model)
    write_spec(project, endpoint=server.url, prices={"input": 100.0, "output": 1000.0}, judge={})
    checked = run("--check")
    assert checked.exit_code == 0, checked.output
    assert "answers; models: good:latest, other:7b" in checked.stdout
    assert "about 16 requests" in checked.stdout
    assert "cost " in checked.stdout
    assert not server.chats
    assert not (project / ".ftspec" / "synth").exists()

    first = run("--limit", "1", "--concurrency", "1")
    assert first.exit_code == 0, first.output
    assert len(server.chats) == 1 + 3
    assert "Next:" not in first.stderr

    whole = run()
    assert whole.exit_code == 0, whole.output
    assert len(server.chats) == 4 + 12
    assert "12 kept of 12 written" in whole.stdout
    assert "1,200 tokens in, 240 out, cost 0.36" in whole.stdout
    assert "Next: ftspec plan spec.yaml" in whole.stderr

    server.stop()
    assert "nothing: 16 answers stored before" in run().stdout
    assert run("--check").exit_code == 0, "nothing is missing: the endpoint is not needed"


def test_json_is_one_document_on_stdout(serve: Serve, project: Path) -> None:
    server = serve(good_model)
    write_spec(project, endpoint=server.url)
    before = json.loads(run("--check", "--format", "json").stdout)
    assert (before["complete"], before["sources"][0]["tasks"]["queries"]["missing"]) == (False, 4)
    assert before["sources"][0]["endpoint"]["models"] == ["good:latest", "other:7b"]
    done = json.loads(run("--format", "json").stdout)
    assert (done["complete"], done["account"]["made"], done["account"]["cost"]) == (True, 4, None)
    assert done["sources"][0]["tasks"]["queries"]["kept"] == 12


def test_faults_point_into_the_spec_and_say_what_is_kept(serve: Serve, project: Path) -> None:
    server = serve(lambda body: good_model(body) if len(server.chats) <= 2 else fault(401, "expired"))
    write_spec(project, endpoint=server.url, concurrency=1)
    result = run()
    assert result.exit_code == 1
    assert "error[FTS753]" in result.stderr
    assert "--> spec.yaml:10:7" in result.stderr
    assert "6 kept of 6 written, from 4 documents; 2 missing" in result.stdout
    listed = serve(lambda body: fault(404, "model 'x' not found"))
    write_spec(project, endpoint=listed.url, model="x")
    result = run()
    assert "`x`; it has good:latest, other:7b" in result.stderr
    assert "does not list x" in run("--check").stdout


def test_nothing_to_write_and_bad_rows(serve: Serve, project: Path) -> None:
    server = serve(good_model)
    spec = write_spec(project, endpoint=server.url)
    with (project / "docs.jsonl").open("a") as file:
        file.write('{"id": "bad"}\n')
    result = run()
    assert result.exit_code == 1
    assert "FTS703" in result.stderr
    assert not server.chats, "nothing is paid for before the rows are mended"
    assert run("--set", "data.on_error=skip").exit_code == 0
    spec.write_text(
        EMBEDDING.partition("    - type")[0].replace("{{", "{").replace("}}", "}")
        + """\
    - {type: file, path: docs.jsonl, roles: {query: id, positive: text}}
train: {objective: {type: contrastive}}
"""
    )
    result = run()
    assert result.exit_code == 0
    assert "nothing to write" in result.stderr


@pytest.mark.parametrize("given", [False, True], ids=["questions-written", "questions-given"])
def test_raft_questions_and_answers_arrive_in_the_data_room(given: bool, serve: Serve, project: Path) -> None:
    from ftspec.data.llm_rows import LlmRow
    from ftspec.data.raft_source import open_raft
    from ftspec.resolve.llm_sources import source_plan
    from ftspec.source.load import load_document
    from ftspec.spec.check import check_spec

    questions = ""
    if given:
        rows = [
            {"question": f"What is {id}?", "answers": [text.split()[1]], "document": id}
            for id, text in DOCUMENTS
        ]
        (project / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        questions = "questions: {path: qa.jsonl}"
    server = serve(good_model)
    write_spec(project, RAFT, questions=questions, endpoint=server.url, judge={}, per_document=2)
    checked = run("--check")
    assert f"about {8 if given else 4 + 8 + 8 + 8} requests" in checked.stdout, checked.output
    result = run()
    assert result.exit_code == 0, result.output
    # A written answer that ends in the known one is graded already, with its question.
    assert len(server.chats) == (8 if given else 4 + 8 + 8)

    document, _ = load_document(project / "spec.yaml", ())
    assert document is not None
    spec, _ = check_spec(document)
    assert spec is not None
    plan = source_plan(spec.data.train[0])  # type: ignore[arg-type]
    assert isinstance(plan, LlmSource)
    rows_made = list(open_raft(plan, project, 0, (), project / ".ftspec" / "synth").rows())
    assert len(rows_made) == (4 if given else 8)
    assert all(isinstance(row, LlmRow) for row in rows_made), rows_made
    assert all("##begin_quote##" in row.completion for row in rows_made if isinstance(row, LlmRow))


def start(project: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A shell starts what runs in the background with interrupts ignored, and its children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "ftspec", "synth", "spec.yaml"],
            cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(server: Server, chats: int) -> None:
    ends = time.monotonic() + 60
    while len(server.chats) < chats:
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_process_that_is_stopped_keeps_what_it_finished(
    how: signal.Signals, serve: Serve, project: Path
) -> None:
    def slow_from_the_third(body: Body) -> Say:
        return Say(good_model(body).text, seconds=30.0 if len(server.chats) > 2 else 0.0)

    server = serve(slow_from_the_third)
    write_spec(project, endpoint=server.url, concurrency=1)
    process = start(project)
    wait_for(server, 3)
    process.send_signal(how)
    stopped = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - stopped < 10, "it does not wait for the reply"
    if how is signal.SIGINT:
        assert process.returncode == 130, stderr
        assert "2 answers in 3 requests" in stdout
        assert "what was finished is kept" in stdout
        assert "Traceback" not in stderr
    server.script = good_model
    result = run()
    assert result.exit_code == 0, result.output
    assert len(server.chats) == 3 + 2
    assert "2 answers in 2 requests" in result.stdout


def test_two_at_a_time_do_not_pay_twice(serve: Serve, project: Path) -> None:
    server = serve(lambda body: Say(good_model(body).text, seconds=20.0))
    write_spec(project, endpoint=server.url)
    process = start(project)
    try:
        wait_for(server, 1)
        result = run()
        assert result.exit_code == 4
        assert "another `ftspec synth`" in result.stderr
    finally:
        process.kill()
        process.communicate()


def test_doctor_asks_for_endpoints_only_when_told(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(good_model)
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "ndpoints" not in CliRunner().invoke(cli, ["doctor"]).stdout
    assert server.lists == 0
    shown = CliRunner().invoke(cli, ["doctor", "--endpoints"]).stdout
    assert f"http://127.0.0.1:{server.port} answers; models: good:latest, other:7b" in shown
    assert server.lists == 2
    server.models = fault(401, "no")
    listed = json.loads(CliRunner().invoke(cli, ["doctor", "--endpoints", "--format", "json"]).stdout)
    assert [each["fault"]["code"] for each in listed["endpoints"]] == ["FTS753", "FTS753"]
    assert "sk-secret" not in json.dumps(listed)
