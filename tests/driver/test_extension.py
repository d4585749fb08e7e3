"""Which finished training a longer one goes on from, decided without training anything."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.driver import extension as module
from ftspec.driver.compile import with_store
from ftspec.driver.extension import find_extension, keeps_state, train_key, versions_in
from ftspec.plan.codec import digest, hash_of
from ftspec.plan.embedding import EarlyStopping, EmbeddingPlan
from ftspec.plan.extension import NOTE, STATE, state_document, with_extension
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Action, Extension
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import nothing_stored, predicted_seconds, with_stages
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.run_record import EstimateRecord
from ftspec.target.environments import BackendEnvironment, EnvironmentKind
from ftspec.target.features import Feature, FeatureSupport, Support
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from tests.driver.promote_case import make_version
from tests.embedding_plan import complete_plan

RUN = "example-00000001"
HERE = BackendEnvironment(
    kind=EnvironmentKind.PRESENT, interpreter=Path("/usr/bin/python"), python="3.11.7", packages=()
)


def plan_of(steps: int, **train: Any) -> EmbeddingPlan:
    plan = complete_plan()
    given = {
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "keep_best": False,
        "early_stopping": None,
        "num_train_epochs": None,
        "total_steps": steps,
        "seed": 1,
        **train,
    }
    made = with_stages(replace(plan, train=replace(plan.train, **given)), nothing_stored)
    assert isinstance(made, EmbeddingPlan)
    return made


@pytest.fixture
def target() -> Target:
    return next(each for each in load_targets()[0] if each.name == "accelerate")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a finished run of 20 steps, whose state is not stored."""
    monkeypatch.setattr(module, "find_environment", lambda *_: HERE)
    monkeypatch.setattr(BackendEnvironment, "usable", True)
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.create()
    trained(project, 20)
    return project


def trained(project: Project, steps: int, *, run: int = 1, **record: Any) -> None:
    make_version(project, 1, 1.0, plan=plan_of(steps), estimate=EstimateRecord(train_steps=steps), **record)


def keep(project: Project, plan: EmbeddingPlan, **other: Any) -> Path:
    key = next(stage.key for stage in plan.stages if stage.name == "train")
    given = {"machine_digest": plan.machine.digest, "versions": versions_in(HERE)}
    document = state_document(other.pop("by", plan), key, **{**given, **other})
    folder = project.root / "state"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w" * 100_000)
    (folder / "COMPLETE").touch()
    return Artifacts(project).publish(STATE, hash_of(document), folder, document).path


def find(
    project: Project, plan: EmbeddingPlan, target: Target, **options: Any
) -> tuple[Extension | None, str]:
    found, told = find_extension(plan, project, target, machine_digest=plan.machine.digest, **options)
    assert not told.has_errors
    assert [each.code.id for each in told] in ([], ["FTS688"])
    return found, " ".join(each.detail for each in told)


def test_the_last_state_of_a_shorter_training(project: Project, target: Target) -> None:
    keep(project, plan_of(20))
    assert find(project, plan_of(30), target) == (Extension(run_id=RUN, step=20), "")
    assert find(project, plan_of(30, save_steps=7, logging_steps=3), target)[0] is not None
    for other in (
        plan_of(20),
        plan_of(10),
        plan_of(30, learning_rate=1.0),
        plan_of(30, global_batch_size=64),
    ):
        assert find(project, other, target) == (None, "")


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial"])
def test_a_curve_that_depends_on_the_length_keeps_nothing(target: Target, schedule: str) -> None:
    assert not keeps_state(plan_of(20, lr_scheduler_type=schedule), target)
    assert keeps_state(plan_of(20, lr_scheduler_type="constant_with_warmup", warmup_steps=3), target)
    assert not keeps_state(plan_of(20, keep_best=True), target)
    stopping = EarlyStopping(metric="loss", patience=2, min_delta=0.0)
    assert not keeps_state(plan_of(20, early_stopping=stopping), target)


def test_why_a_state_cannot_be_used(project: Project, target: Target) -> None:
    found, told = find(project, plan_of(30), target)
    assert found is None
    assert f"run {RUN} is the beginning of this training, step by step (20 of 30 steps)" in told
    assert told.endswith("but its last state is not stored")
    support = FeatureSupport(support=Support.NOT_IMPLEMENTED, why="It never does.")
    unable = target.model_copy(update={"features": {**target.features, Feature.EXTEND: support}})
    assert find(project, plan_of(30), unable)[1].endswith("accelerate cannot go on from it: It never does.")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"machine_digest": "sha256:" + "1" * 64}, "another machine"),
        ({"versions": {"python": "3.10.1"}}, "other packages (python 3.10.1 → 3.11.7)"),
        (
            {"by": plan_of(20, checks=replace(complete_plan().train.checks, rising_loss="off"))},
            "other checks",
        ),
        (
            {"by": replace(plan_of(20), execution=replace(complete_plan().execution, num_threads=77))},
            "other settings of the machine (num_threads 77 → ",
        ),
    ],
    ids=["machine", "packages", "checks", "settings"],
)
def test_a_state_of_other_circumstances(project: Project, target: Target, other: Any, why: str) -> None:
    keep(project, plan_of(20), **other)
    found, told = find(project, plan_of(30), target)
    assert found is None
    assert f"its last state was made by {why}" in told


def test_a_state_that_was_altered(project: Project, target: Target) -> None:
    path = keep(project, plan_of(20)) / "weights.safetensors"
    path.write_bytes(b"v" * 100_000)
    assert find(project, plan_of(30), target)[0] is not None, "a plan compares sizes"
    found, told = find(project, plan_of(30), target, whole=True)
    assert found is None
    assert told.endswith("its last state was altered in the store")
    path.write_bytes(b"w")
    assert find(project, plan_of(30), target)[1] == told


def test_inputs_that_moved_extend_nothing(tmp_path: Path, project: Project, target: Target) -> None:
    other = Project(tmp_path / "tainted")
    other.root.mkdir()
    other.create()
    trained(other, 20, tainted=("data/a.jsonl changed",))
    keep(other, plan_of(20))
    assert find(other, plan_of(30), target) == (None, "")


def unfinished(project: Project, plan: EmbeddingPlan, step: int, *, extends: Extension | None = None) -> None:
    """A run of the plan that was killed after the checkpoint of `step`."""
    folder = project.runs / f"example-{plan.train.total_steps:08}"
    partial = folder / "out" / "train.partial"
    saved = partial / "checkpoints" / f"checkpoint-{step}"
    saved.mkdir(parents=True)
    (saved / "COMPLETE").touch()
    (folder / "plan.json").write_text(json.dumps({"digest": digest(plan)}))
    (partial / "KEY").write_text(train_key(plan))
    if extends is not None:
        (partial / NOTE).write_text(json.dumps(asdict(extends)))


def test_an_unfinished_run_goes_on_as_it_began(project: Project, target: Target) -> None:
    before = Extension(run_id="example-00000007", step=15)
    unfinished(project, plan_of(30), 20, extends=before)
    assert find(project, plan_of(30), target) == (before, ""), "what it began with may be gone by now"
    unfinished(project, plan_of(31), 25)
    keep(project, plan_of(20))
    assert find(project, plan_of(31), target) == (None, ""), "it is further on by itself"


def test_an_unfinished_run_that_is_less_far(project: Project, target: Target) -> None:
    unfinished(project, plan_of(30), 9)
    assert find(project, plan_of(30), target) == (None, ""), "it does not begin at its start"
    keep(project, plan_of(20))
    assert find(project, plan_of(30), target) == (Extension(run_id=RUN, step=20), "")


def test_the_plan_says_what_is_left(project: Project, target: Target) -> None:
    keep(project, plan_of(20))
    first = plan_of(80)
    assert first.estimates is not None
    seconds = FrozenMap({"start": 5.0, "train": 80.0, "encode_tuned": 7.0})
    first = replace(first, estimates=replace(first.estimates, stage_seconds=seconds, wall_seconds=92.0))
    plan, told = with_store(first, project, target)
    assert not told.items
    assert plan.extends == Extension(run_id=RUN, step=20)
    train = next(stage for stage in plan.stages if stage.name == "train")
    assert (train.action, train.reason) == (Action.RUN, Reason.EXTENDS)
    assert plan.estimates is not None
    assert plan.estimates.stage_seconds["train"] == pytest.approx(60)
    assert predicted_seconds(plan) == plan.estimates.wall_seconds == pytest.approx(72)
    again = with_extension(plan, plan.extends)
    assert again == plan
    back = with_extension(plan, None)
    assert back.estimates is not None
    assert back.estimates.stage_seconds["train"] == pytest.approx(80)
    assert back.extends is None
    assert next(stage for stage in back.stages if stage.name == "train").reason is Reason.NO_ARTIFACT
