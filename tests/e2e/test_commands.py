"""Commands that look at what a run left behind."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.harness import actions, apply, ftspec, ftspec_json, sql

pytestmark = pytest.mark.slow


def test_query_with_the_tuned_model(finished: Finished) -> None:
    found = ftspec_json("query", "tiny", "find queue red", "-k", "3", cwd=finished.folder)
    assert (found["name"], found["version"], found["variant"]) == ("tiny", "v1", "tuned")
    assert found["documents"] == 18
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    ftspec("query", "tiny", " ", cwd=finished.folder, exits=64)


def test_models_are_shown_exported_and_deleted(copied: Path) -> None:
    (listed,) = ftspec_json("models", "list", cwd=copied)
    assert (listed["name"], listed["version"], listed["current"]) == ("tiny", "v1", True)
    shown = ftspec_json("models", "show", "tiny", cwd=copied)
    assert shown["passport"]["verdict"] == "passed"
    ftspec("models", "export", "tiny", "exported", cwd=copied)
    assert (copied / "exported/modules.json").is_file()
    assert (copied / "exported/README.md").is_file()
    ftspec("models", "delete", "tiny", "--yes", cwd=copied)
    assert ftspec_json("models", "list", cwd=copied) == []
    assert "tiny" in ftspec("models", "show", "tiny", cwd=copied, exits=1).stderr


def test_a_deleted_model_is_registered_again(copied: Path, finished: Finished) -> None:
    ftspec("models", "delete", "tiny", "--yes", cwd=copied)
    assert [name for name, action in actions(copied).items() if action == "run"] == ["register"]
    result = apply(copied)
    assert result["verdict"] == "passed"
    assert result["model"] == {"name": "tiny", "version": "v2"}  # no number is given twice
    assert Path(result["model_path"]) == copied / ".ftspec/models/tiny/v2"
    assert result["metrics"] == finished.result["metrics"]
    assert sql("select version, run_id from models", copied) == [
        {"version": "v2", "run_id": result["run_id"]}
    ]
    ftspec("state", "verify", cwd=copied)
    assert apply(copied) == {**result, "verdict": "unchanged"}


def test_damaged_evidence_is_made_again(copied: Path, finished: Finished) -> None:
    (scores,) = (copied / ".ftspec/artifacts/evaluate").glob("*/scores.jsonl")
    scores.chmod(0o644)
    scores.write_text("rubbish", encoding="utf-8")
    assert "FTS612" in ftspec("state", "verify", cwd=copied, exits=1).stderr
    assert [name for name, action in actions(copied).items() if action == "run"] == ["evaluate"]
    result = apply(copied)
    assert result["metrics"] == finished.result["metrics"]
    assert result["model"] == finished.result["model"]
    ftspec("state", "verify", cwd=copied)


def test_runs_and_logs(finished: Finished) -> None:
    run = finished.result["run_id"]
    (listed,) = ftspec_json("runs", cwd=finished.folder)
    assert (listed["run_id"], listed["state"], listed["verdict"]) == (run, "finished", "passed")
    assert listed["metrics"] == finished.result["metrics"]
    assert ftspec_json("runs", "other", cwd=finished.folder) == []
    said = ftspec("logs", run, "--events", cwd=finished.folder).stdout
    events = [json.loads(line) for line in said.splitlines()]
    assert {event["stage"] for event in events} == {"encode_base", "train", "encode_tuned"}
    ftspec("logs", run, "-f", cwd=finished.folder)


def test_evidence_is_shown_again(finished: Finished) -> None:
    shown = ftspec_json("eval", "tiny", cwd=finished.folder)
    assert shown["run_id"] == finished.result["run_id"]
    assert shown["spec_hash"] == finished.result["spec_hash"]
    assert ftspec_json("eval", "--spec", "spec.yaml", cwd=finished.folder) == shown
    assert "MRR@10" in ftspec("eval", "tiny", "--format", "markdown", cwd=finished.folder).stdout
    assert ftspec("eval", "nobody", cwd=finished.folder, exits=1).stderr
