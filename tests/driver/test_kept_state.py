"""How a training begins and what is kept of its end, without training anything."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ftspec.driver.extension import train_key, versions_in
from ftspec.driver.last_state import (
    begin_training,
    drop_extended,
    note_beginning,
    store_state,
)
from ftspec.driver.running import Run
from ftspec.lower.state import FOLDER
from ftspec.plan.codec import hash_of
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.extension import NOTE, STATE, state_document
from ftspec.plan.model import Extension
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import stage_documents
from ftspec.store.artifacts import Artifacts
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.rebuild import rebuild
from ftspec.store.run_record import EstimateRecord, StageRecord
from tests.driver.promote_case import make_version
from tests.driver.test_extension import HERE, RUN, keep, plan_of

BEFORE = Extension(run_id=RUN, step=20)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.create()
    make_version(project, 1, 1.0, plan=plan_of(20), estimate=EstimateRecord(train_steps=20))
    return project


def run_of(project: Project, *, extends: Extension | None = None, python: str = "3.11.7") -> Run:
    plan = plan_of(30)
    stages = tuple(
        replace(each, reason=Reason.EXTENDS) if extends is not None and each.name == "train" else each
        for each in plan.stages
    )
    return Run(
        project=project,
        plan=replace(plan, extends=extends, stages=stages),
        target=cast("Any", None),
        spec={},
        observe=lambda event: None,
        interpreter=None,
        artifacts=Artifacts(project),
        documents=stage_documents(plan),
        plan_digest="",
        folder=project.runs / "example-00000009",
        started="",
        lease=cast("Any", SimpleNamespace(require=lambda: None)),
        machine=plan.machine,
        environment=replace(HERE, python=python),
    )


def saved(run: Run, step: int) -> None:
    folder = run.folder / "out" / "train.partial" / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "COMPLETE").touch()


def finished(run: Run) -> Path:
    """The output of its training."""
    partial, out = run.folder / "out" / "train.partial", run.folder / "out" / "train"
    (partial / FOLDER).mkdir(parents=True)
    (partial / FOLDER / "COMPLETE").touch()
    (partial / "DONE.json").write_text(json.dumps({"key": train_key(run.plan)}))
    partial.rename(out)
    return out


def stored(run: Run) -> list[str]:
    return [each.document["packages"]["python"] for each in run.artifacts.all() if each.stage == STATE]


def reason(run: Run) -> Reason:
    return run.stage("train").reason


def test_a_state_is_called_by_the_packages_that_made_it(project: Project) -> None:
    first, second = run_of(project), run_of(project, python="3.12.1")
    begin_training(first, keeps=True)
    saved(first, 10)
    out = finished(first)
    begin_training(second, keeps=True)  # the first was killed before it took over what it had made
    store_state(second, out)
    assert stored(second) == ["3.11.7"]
    document = state_document(
        first.plan, train_key(first.plan), machine_digest=first.machine.digest, versions=versions_in(HERE)
    )
    assert first.artifacts.find(STATE, hash_of(document)) is not None


def test_no_state_is_kept_of_two_packages(project: Project) -> None:
    first, second = run_of(project), run_of(project, python="3.12.1")
    begin_training(first, keeps=True)
    saved(first, 10)
    begin_training(second, keeps=True)
    store_state(second, finished(second))
    assert stored(second) == []


def test_the_later_state_is_gone_on_from(project: Project) -> None:
    keep(project, plan_of(20))
    begin_training(run_of(project), keeps=True)
    run = run_of(project, extends=BEFORE)
    checkpoints = run.folder / "out" / "train.partial" / "checkpoints"
    saved(run, 10)
    begin_training(run, keeps=True)
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-20"]
    saved(run, 25)
    begin_training(run, keeps=True)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["checkpoint-20", "checkpoint-25"]
    out = finished(run)
    note_beginning(run, out, 25)
    assert (run.plan.extends, reason(run)) == (BEFORE, Reason.EXTENDS)
    assert (out / NOTE).is_file()


@pytest.mark.parametrize("resumed", [None, 10])
def test_what_was_not_gone_on_from_is_not_told(project: Project, resumed: int | None) -> None:
    run = run_of(project, extends=BEFORE)
    out = run.folder / "out" / "train"
    out.mkdir(parents=True)
    (out / NOTE).write_text(json.dumps(asdict(BEFORE)))
    note_beginning(run, out, resumed)
    assert (run.plan.extends, reason(run)) == (None, Reason.NO_ARTIFACT)
    assert not (out / NOTE).exists()


def test_what_was_gone_on_from_is_told(project: Project) -> None:
    run = run_of(project)
    out = run.folder / "out" / "train"
    out.mkdir(parents=True)
    (out / NOTE).write_text(json.dumps(asdict(BEFORE)))
    note_beginning(run, out, 20)
    assert (run.plan.extends, reason(run)) == (BEFORE, Reason.EXTENDS)


def ran(project: Project, number: int, plan: EmbeddingPlan, *, name: str = "example") -> None:
    key = train_key(plan)
    stages = (StageRecord(name="train", key=key, action="run", reason="no_artifact"),)
    make_version(project, number, 1.0, name=name, stages=stages)


@pytest.mark.parametrize("other", [None, "newest", "older"])
def test_the_state_of_the_shorter_one_makes_room(project: Project, other: str | None) -> None:
    """Where the newest run of another spec ended in it, it stays."""
    shorter = keep(project, plan_of(20))
    if other is not None:
        ran(project, 3, plan_of(20), name="other")
    if other == "older":
        ran(project, 4, plan_of(21), name="other")
    run = run_of(project, extends=BEFORE)
    output = run.output("train")
    output.mkdir(parents=True)
    (output / NOTE).write_text(json.dumps(asdict(BEFORE)))
    ran(project, 2, plan_of(30))
    drop_extended(run)
    assert shorter.is_dir(), "nothing is better yet"
    longer = keep(project, plan_of(30))
    rebuild(project)  # rows of both
    for _ in range(2):
        drop_extended(run)
        assert shorter.is_dir() == (other == "newest")
        assert longer.is_dir()
        with Ledger(project).read() as db:
            rows = db.execute("SELECT path FROM artifacts WHERE stage = ?", [STATE]).fetchall()
        assert {project.root / path for (path,) in rows} == {
            each for each in (shorter, longer) if each.is_dir()
        }


def test_the_first_training_drops_nothing(project: Project) -> None:
    shorter = keep(project, plan_of(20))
    ran(project, 2, plan_of(30))
    keep(project, plan_of(30))
    run = run_of(project)
    run.output("train").mkdir(parents=True)
    drop_extended(run)
    assert shorter.is_dir()
