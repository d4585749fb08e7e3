"""Inputs of runs: of every kind of source and model, what was just planned has not moved, and what moved is
named."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.compile import compile_spec
from ftspec.driver.inputs import (
    DATA_KINDS,
    InputKind,
    count_rows,
    moved_inputs,
    planned_inputs,
    require_unmoved,
)
from ftspec.paths import shared_folder
from ftspec.plan.model import Plan
from ftspec.store.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path)
    project.create()
    return project


def plan_of(project: Project, name: str) -> Plan:
    compiled, found = compile_spec(Path("specs") / name, project=project)
    assert compiled is not None, [each.detail for each in found]
    return compiled.plan


@pytest.mark.parametrize(
    "name", ["pairs.yaml", "beir.yaml", "classes.yaml", "llm-chat.yaml", "llm-raft.yaml"]
)
def test_what_was_just_planned_has_not_moved(project: Project, name: str) -> None:
    plan = plan_of(project, name)
    assert moved_inputs(plan, project) == ()
    require_unmoved(plan, project)
    for index, kind in enumerate(each.kind for each in planned_inputs(plan)):
        if kind is InputKind.DATA:
            assert count_rows(plan, index, project) == plan.data.facts.sources[index].rows


@pytest.mark.parametrize("name", ["pairs.yaml", "llm-chat.yaml"])
def test_each_input_that_moved_is_named(project: Project, name: str) -> None:
    plan = plan_of(project, name)
    source = project.root / "specs" / plan.data.facts.sources[0].label
    source.write_bytes(source.read_bytes().splitlines(keepends=True)[0])
    weights = Path(plan.model.facts.location)
    if weights.is_relative_to(project.root):
        shutil.rmtree(weights)
    spec = project.root / plan.spec_path
    spec.write_text(spec.read_text(encoding="utf-8").replace("global_batch_size: ", "global_batch_size: 1"))
    moved = moved_inputs(plan, project)
    wanted = [InputKind.DATA, InputKind.SPEC]
    if weights.is_relative_to(project.root):
        wanted.insert(1, InputKind.MODEL)
    assert [each.before.kind for each in moved] == wanted
    assert [each.before.kind for each in moved_inputs(plan, project, DATA_KINDS)] == [InputKind.DATA]
    with pytest.raises(FtspecError) as raised:
        require_unmoved(plan, project)
    assert {each.code.id for each in raised.value.diagnostics} == {"FTS602"}
    assert plan.data.facts.sources[0].label in str(raised.value)


def test_a_spec_is_read_with_its_overrides(project: Project) -> None:
    plan = plan_of(project, "pairs.yaml")
    assert [
        each.before.kind for each in moved_inputs(replace(plan, overrides=("train.seed=9",)), project)
    ] == [InputKind.SPEC]
