"""A base that is a model of this project: the plan says so (FTS315), and so do the card and a diff."""

import json
import shutil
from pathlib import Path

import pytest

from ftspec.driver.compile import compile_spec
from ftspec.evaluate.card import _warm_start, _warm_start_lines
from ftspec.paths import shared_folder
from ftspec.plan.changes import Condition
from ftspec.plan.codec import digest
from ftspec.plan.conditions import holds
from ftspec.plan.continuation import Form, WarmStart, continuation, warm_start_of
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.store.project import Project
from ftspec.view.plan_human import render_plan


def _plan(folder: Path, base: str) -> Plan:
    path = folder / "specs" / "llm-completion.yaml"
    made, found = compile_spec(
        path, project=Project(folder), overrides=[f"model.base={base}"], hardware_name="laptop-cpu"
    )
    assert made is not None, [*found]
    return made.plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `helper` v2 is registered: the tiny model with another epsilon."""
    folder = tmp_path_factory.mktemp("warm")
    shutil.copytree(shared_folder("specs"), folder / "specs")
    model = folder / ".ftspec" / "models" / "helper" / "v2"
    shutil.copytree(folder / "specs" / "data" / "tiny-llm", model)
    config = json.loads((model / "config.json").read_text("utf-8")) | {"rms_norm_eps": 1e-5}
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_the_plan_says_that_it_is_one(folder: Path) -> None:
    cold, warm = _plan(folder, "data/tiny-llm"), _plan(folder, "helper")
    assert warm_start_of(cold) is None
    assert warm_start_of(warm) == WarmStart(name="helper", version="v2")
    assert [note.code for note in warm.notes if note.code == "FTS315"] == ["FTS315"]
    assert not [note for note in cold.notes if note.code == "FTS315"]
    assert digest(cold) != digest(warm)
    text = render_plan(warm, width=100)
    assert "warm start from helper v2" in text
    assert "FTS315" in text
    assert "warm start" not in render_plan(cold, width=100)


def test_the_card_says_it_too(folder: Path) -> None:
    warm = _plan(folder, "helper")
    (text, _) = _warm_start_lines(warm)
    assert text.startswith("**Warm start.**")
    assert "helper v2" in text
    assert warm.model.facts.digest in text
    assert _warm_start(warm) == {"name": "helper", "version": "v2"}
    assert not [*_warm_start_lines(_plan(folder, "data/tiny-llm"))]


def test_it_is_asked_for_by_name_and_decided_from_two_plans(folder: Path) -> None:
    cold, warm = _plan(folder, "data/tiny-llm"), _plan(folder, "helper")
    assert isinstance(cold, LlmPlan)
    found = continuation(cold, warm)
    assert found.form is Form.WARM_START
    assert found.refused
    assert continuation(warm, cold).form is Form.NONE
    assert continuation(warm, warm).form is Form.RESUME
    assert holds(Condition.OF_THIS_PROJECT, ("model", "base"), cold, warm)
    assert not holds(Condition.OF_THIS_PROJECT, ("model", "base"), warm, cold)
