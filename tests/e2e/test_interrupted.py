"""Killed, orphaned, interrupted: the next apply goes on, and comes to what an undisturbed run comes to.

One project suffers it all, one attempt after the other; the tests look at what was seen on the way.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.harness import Applying, apply, ftspec, ftspec_json, seconds_until_alone, sql, write_project

pytestmark = pytest.mark.slow

ORPHAN_SECONDS = 15.0
COUNTS = " union all ".join(
    f"select '{table}' as name, count(*) as rows from {table}"
    for table in (
        "specs",
        "plans",
        "runs",
        "stages",
        "steps",
        "query_scores",
        "artifacts",
        "estimates",
        "models",
    )
)


@dataclass(slots=True, kw_only=True)
class Trail:
    """What was seen at each attempt."""

    folder: Path
    exits: dict[str, int] = field(default_factory=dict)
    orphan_seconds: dict[str, float | None] = field(default_factory=dict)
    stored: dict[str, set[str]] = field(default_factory=dict)  # stages in the store after an attempt
    resumed_step: dict[str, int] = field(default_factory=dict)
    stages: dict[str, set[str]] = field(default_factory=dict)  # that were heard of in an attempt
    second_apply: str = ""
    states: list[str] = field(default_factory=list)
    interrupted: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    last_events: list[tuple[str, str]] = field(default_factory=list)

    def note(self, attempt: str, applying: Applying) -> None:
        self.exits[attempt] = applying.process.returncode
        self.stages[attempt] = {event["stage"] for event in applying.events}
        store = self.folder / ".ftspec/artifacts"
        self.stored[attempt] = {path.name for path in store.iterdir()} if store.exists() else set()


@pytest.fixture(scope="module")
def trail(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trail:
    folder = write_project(tmp_path_factory.mktemp("interrupted") / "project", tiny_model)
    seen = Trail(folder=folder)

    attempt = Applying(folder)
    attempt.wait_for_event("ingest", "start")
    attempt.kill_all()
    seen.note("ingest", attempt)

    attempt = Applying(folder)
    attempt.wait_for_event("encode_base", "start")
    attempt.kill_all()
    seen.note("encode_base", attempt)

    attempt = Applying(folder)
    attempt.wait_for_event("encode_base", "start")
    seen.second_apply = ftspec("apply", "spec.yaml", "--yes", cwd=folder, exits=4).stderr
    seen.states = [run["state"] for run in ftspec_json("runs", cwd=folder)]
    attempt.wait_for_event("train", "checkpoint")
    attempt.kill_parent()
    seen.orphan_seconds["train"] = seconds_until_alone(folder, ORPHAN_SECONDS)
    seen.note("train", attempt)

    attempt = Applying(folder)
    seen.resumed_step["after kill"] = attempt.wait_for_event("train", "resumed")["step"]
    attempt.wait_for_event("train", "log")
    attempt.interrupt()
    attempt.end()
    seen.interrupted = attempt.stderr()
    seen.orphan_seconds["interrupt"] = seconds_until_alone(folder, ORPHAN_SECONDS)
    seen.note("interrupt", attempt)

    attempt = Applying(folder)
    seen.resumed_step["after interrupt"] = attempt.wait_for_event("train", "resumed")["step"]
    attempt.wait_for_event("evaluate", "start")
    attempt.kill_all()
    seen.note("evaluate", attempt)

    done = ftspec("apply", "spec.yaml", "--yes", "--format", "json", cwd=folder)
    *events, seen.result = [json.loads(line) for line in done.stdout.splitlines()]
    seen.last_events = [(event["stage"], event["event"]) for event in events]
    return seen


def test_every_kill_hit_its_stage(trail: Trail) -> None:
    assert {
        name: trail.exits[name] for name in ("ingest", "encode_base", "train", "evaluate")
    } == dict.fromkeys(("ingest", "encode_base", "train", "evaluate"), -9)
    assert trail.stored["encode_base"] == {"ingest", "split"}
    assert trail.stored["train"] == {"ingest", "split"}  # what a program finished waits in the run folder
    assert trail.stored["interrupt"] == {"ingest", "split", "encode_base"}
    assert trail.stored["evaluate"] == {"ingest", "split", "encode_base", "train", "encode_tuned"}


def test_a_trainer_without_its_parent_stops_by_itself(trail: Trail) -> None:
    assert trail.orphan_seconds["train"] is not None


def test_two_applies_never_work_at_once(trail: Trail) -> None:
    assert "FTS601" in trail.second_apply
    assert "ftspec apply spec.yaml" in trail.second_apply


def test_others_see_the_run_while_it_goes_on(trail: Trail) -> None:
    assert trail.states == ["running"]


def test_ctrl_c_saves_stops_and_says_how_to_go_on(trail: Trail) -> None:
    assert trail.exits["interrupt"] == 130
    assert "FTS610" in trail.interrupted
    assert "`ftspec apply` again resumes" in trail.interrupted
    assert "Traceback" not in trail.interrupted
    assert trail.orphan_seconds["interrupt"] is not None


def test_training_goes_on_from_its_checkpoint(trail: Trail) -> None:
    assert trail.resumed_step["after kill"] >= 20
    assert trail.resumed_step["after kill"] % 20 == 0
    assert trail.resumed_step["after interrupt"] > trail.resumed_step["after kill"]
    (info,) = (trail.folder / ".ftspec/artifacts/train").glob("*/info.json")
    assert json.loads(info.read_text())["resumed_from_step"] == trail.resumed_step["after interrupt"]
    assert trail.result["resumed_from_step"] is None  # the last apply found training done


def test_each_attempt_does_only_what_was_left(trail: Trail) -> None:
    assert trail.stages["interrupt"] == {"train"}
    assert trail.stages["evaluate"] == {"train", "encode_tuned", "evaluate"}
    assert {stage for stage, _ in trail.last_events} == {"evaluate", "gate", "register"}


def test_the_result_is_that_of_an_undisturbed_run(trail: Trail, finished: Finished) -> None:
    assert trail.result["metrics"] == finished.result["metrics"]
    assert trail.result["gates"] == finished.result["gates"]
    assert trail.result["verdict"] == "passed"
    weights = Path("model.safetensors")
    disturbed, undisturbed = (
        Path(result["model_path"]) / weights for result in (trail.result, finished.result)
    )
    assert disturbed.read_bytes() == undisturbed.read_bytes()


def test_nothing_is_recorded_twice(trail: Trail, finished: Finished) -> None:
    assert sql(COUNTS, trail.folder) == sql(COUNTS, finished.folder)
    curve = "select step, loss, learning_rate from steps order by step"
    assert sql(curve, trail.folder) == sql(curve, finished.folder)
    scores = "select * exclude (run_id) from query_scores order by all"
    assert sql(scores, trail.folder) == sql(scores, finished.folder)


def test_no_scraps_stay_behind(trail: Trail) -> None:
    (run,) = (trail.folder / ".ftspec/runs").iterdir()
    assert run.name == trail.result["run_id"]
    left = [
        path
        for path in (trail.folder / ".ftspec").rglob("*")
        if path.name.endswith(".partial") or path.name == "scratch"
    ]
    assert left == []
    assert apply(trail.folder)["verdict"] == "unchanged"


@pytest.mark.parametrize(
    "lost", [(), ("register",), ("gate", "register")], ids=lambda lost: "+".join(("record", *lost))
)
def test_a_kill_in_the_last_moments_registers_nothing_twice(
    copied: Path, finished: Finished, lost: tuple[str, ...]
) -> None:
    """As after a kill just before each of these was written: the model is registered, the rest is not."""
    state = copied / ".ftspec"
    (state / "runs" / finished.result["run_id"] / "record.json").unlink()
    for stage in lost:
        shutil.rmtree(state / "artifacts" / stage)
    if lost:
        (state / "ftspec.duckdb").unlink()
    result = apply(copied)
    assert result["verdict"] == "passed"
    assert {**result, "model_path": ""} == {**finished.result, "model_path": ""}
    assert Path(result["model_path"]) == state / "models/tiny/v1"
    assert sql(COUNTS, copied) == sql(COUNTS, finished.folder)
    ftspec("state", "verify", cwd=copied)


def test_ctrl_c_outside_of_training(fresh: Path) -> None:
    attempt = Applying(fresh)
    attempt.wait_for_event("ingest", "start")
    attempt.interrupt()
    assert attempt.end() == 130
    assert "Traceback" not in attempt.stderr()
    assert seconds_until_alone(fresh, ORPHAN_SECONDS) is not None
