"""One run from plan to model, and what a repeat does."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from ftspec.paths import shared_folder
from tests.e2e.conftest import Finished
from tests.e2e.harness import actions, apply, environment, ftspec, ftspec_json, sql

pytestmark = pytest.mark.slow

STAGES = ["ingest", "split", "encode_base", "train", "encode_tuned", "evaluate", "gate", "register"]
LOAD = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
print(json.dumps([model.max_seq_length, list(model.encode(["find a file"]).shape)]))
"""


def schema(name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((shared_folder("schemas") / f"{name}.schema.json").read_text())
    return document


def test_the_plan_is_the_contract(finished: Finished) -> None:
    plan = finished.plan
    jsonschema.validate(plan, schema("plan"))
    assert [stage["name"] for stage in plan["stages"]] == STAGES
    assert all(stage["action"] == "run" and stage["reason"] and stage["key"] for stage in plan["stages"])
    assert plan["backend"] == "accelerate"
    assert plan["digest"] != plan["spec_hash"]
    assert {"field", "before", "after", "reason", "by"} <= plan["decisions"][0].keys()
    assert plan["estimates"]["peak_memory_bytes"] > 0
    assert plan["estimates"]["wall_seconds"] > 0


@pytest.mark.parametrize("format_", ["human", "json", "markdown"])
def test_plan_and_show_tell_the_same(finished: Finished, format_: str) -> None:
    plan = ftspec("plan", "spec.yaml", "--format", format_, cwd=finished.folder)
    shown = ftspec("show", "change.ftplan", "--format", format_, cwd=finished.folder)
    for text in (plan.stdout, shown.stdout):
        assert "accelerate" in text
        assert "recall@1" in text.lower() or "Recall@1" in text
    if format_ == "json":
        assert json.loads(plan.stdout)["digest"] == json.loads(shown.stdout)["digest"]
        assert json.loads(shown.stdout) == finished.plan


def test_a_run_shows_the_plan_that_it_followed(finished: Finished) -> None:
    shown = ftspec_json("show", finished.result["run_id"], cwd=finished.folder)
    assert shown["digest"] == finished.result["plan_digest"]


@pytest.mark.parametrize("subject", ["spec.yaml", "change.ftplan"])
def test_fields_are_explained(finished: Finished, subject: str) -> None:
    said = ftspec("explain", subject, "train.learning_rate", cwd=finished.folder).stdout
    assert "0.001" in said
    assert "spec.yaml:18" in said
    said = ftspec("explain", subject, "execution.precision", cwd=finished.folder).stdout
    assert "pick_precision" in said
    assert ftspec("explain", subject, "train.learnin_rate", cwd=finished.folder, exits=64).stderr


def test_the_last_line_is_the_result(finished: Finished) -> None:
    result = finished.result
    jsonschema.validate(result, schema("result"))
    assert result["verdict"] == result["standing_verdict"] == "passed"
    assert result["spec_hash"] == finished.plan["spec_hash"]
    assert result["plan_digest"] == finished.plan["digest"]
    assert result["metrics"].keys() == {"base", "tuned"}
    for values in result["metrics"].values():
        assert values.keys() == {"recall@1", "mrr@10"}
    assert result["metrics"]["tuned"]["mrr@10"] > result["metrics"]["base"]["mrr@10"]
    assert result["model"] == {"name": "tiny", "version": "v1"}
    assert result["resumed_from_step"] is None


def test_the_model_loads_and_tells_where_it_is_from(finished: Finished) -> None:
    folder = Path(finished.result["model_path"])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, folder],
        env=environment(), cwd="/", capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert json.loads(done.stdout) == [32, [1, 32]]
    passport = json.loads((folder / "ftspec.json").read_text(encoding="utf-8"))
    assert passport["spec_hash"] == finished.plan["spec_hash"]
    assert passport["plan_digest"] == finished.plan["digest"]
    log = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 200
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "recall@1" in card.lower()


def test_a_second_apply_does_no_work(finished: Finished) -> None:
    folder = finished.folder
    run = folder / ".ftspec/runs" / finished.result["run_id"]
    before = (run / "events.jsonl").read_bytes()
    counts = "select (from runs select count(*)) r, (from stages select count(*)) s, (from query_scores select count(*)) q"
    counted = sql(counts, folder)
    done = ftspec("apply", "spec.yaml", "--yes", "--format", "json", cwd=folder)
    (line,) = done.stdout.splitlines()  # no event, only the result
    result = json.loads(line)
    jsonschema.validate(result, schema("result"))
    assert result == {**finished.result, "verdict": "unchanged"}
    assert (run / "events.jsonl").read_bytes() == before
    assert [path.name for path in run.parent.iterdir()] == [run.name]
    assert sql(counts, folder) == counted


def test_people_are_told_that_nothing_changed(finished: Finished) -> None:
    done = ftspec("apply", "spec.yaml", cwd=finished.folder)  # asks nothing, for there is nothing to run
    assert "nothing ran" in done.stdout
    assert "tiny v1" in done.stdout


def test_apply_asks_first_and_refuses_where_it_cannot(fresh: Path) -> None:
    done = ftspec("apply", "spec.yaml", cwd=fresh, exits=64)
    assert "--yes" in done.stderr
    assert not (fresh / ".ftspec/runs").exists()


def test_only_what_depends_on_a_change_runs_again(finished: Finished) -> None:
    folder = finished.folder
    assert set(actions(folder).values()) == {"reuse"}

    metrics = actions(folder, "--set", "evaluation.metrics=[recall@1, recall@5, mrr@10]")
    assert [name for name, action in metrics.items() if action == "run"] == ["evaluate", "gate", "register"]

    rate = actions(folder, "--set", "train.learning_rate=2.0e-3")
    assert [name for name, action in rate.items() if action == "reuse"] == ["ingest", "split", "encode_base"]

    gates = actions(folder, "--set", "gates.recall@1.min=0.06")
    assert [name for name, action in gates.items() if action == "run"] == ["gate", "register"]


def test_detailed_exit_code_tells_whether_apply_would_run(finished: Finished) -> None:
    ftspec("plan", "spec.yaml", "--detailed-exitcode", cwd=finished.folder)
    ftspec("plan", "spec.yaml", "--set", "train.seed=1", "--detailed-exitcode", cwd=finished.folder, exits=2)


def test_words_about_a_spec_run_nothing(copied: Path, finished: Finished) -> None:
    text = (copied / "spec.yaml").read_text(encoding="utf-8")
    text = "# A remark.\n\n" + text.replace("name: tiny", 'name: "tiny"\n  description: other words').replace(
        "  max_steps", "\n  max_steps"
    )
    (copied / "spec.yaml").write_text(text, encoding="utf-8")
    assert set(actions(copied).values()) == {"reuse"}
    assert apply(copied)["verdict"] == "unchanged"
    shown = ftspec_json("eval", "--spec", "spec.yaml", cwd=copied)
    assert shown["run_id"] == finished.result["run_id"]
    text = text.replace("1.0e-3", "2.0e-3")
    (copied / "spec.yaml").write_text(text, encoding="utf-8")
    assert "FTS614" in ftspec("eval", "--spec", "spec.yaml", cwd=copied, exits=1).stderr


def test_gates_fail_and_abstain_without_training_again(copied: Path, finished: Finished) -> None:
    failed = apply(copied, "--set", "gates.recall@1.min=0.999", exits=5)
    assert (failed["verdict"], failed["model"]) == ("failed", None)
    assert failed["metrics"] == finished.result["metrics"]
    assert Path(failed["model_path"], "modules.json").is_file()
    again = apply(copied, "--set", "gates.recall@1.min=0.999", exits=5)
    assert (again["verdict"], again["standing_verdict"]) == ("unchanged", "failed")

    metrics = finished.result["metrics"]
    gain = metrics["tuned"]["mrr@10"] - metrics["base"]["mrr@10"]
    abstained = apply(copied, "--set", f'gates={{"mrr@10": {{min_gain: {gain:.3f}}}}}', exits=6)
    assert abstained["verdict"] == "inconclusive"

    listed = ftspec_json("models", "list", cwd=copied)
    assert [model["version"] for model in listed] == ["v1"], "what did not pass is not registered"
    verdicts = sql("select verdict from runs order by started", copied)
    assert [row["verdict"] for row in verdicts] == ["passed", "failed", "inconclusive"]
