"""Plans of a 3B and an 8B decoder on named machines, in golden/plans/ beside those of embedding models.

The facts of the models are real, see tests/llm_facts.py; no weights are needed.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.plan.codec import digest
from ftspec.plan.llm import LlmPlan
from ftspec.plan.text import plan_from_json, plan_to_json
from ftspec.view.diagnostics import render_diagnostics
from tests import llm_case
from tests.golden import check_files
from tests.llm_case import CASES, Planned, plan_llm
from tests.test_golden_plans import PLANS, WIDTH, golden_files

PlanOn = Callable[[str, str], Planned]


@pytest.fixture(scope="module")
def plan_on(tmp_path_factory: pytest.TempPathFactory) -> PlanOn:
    folder = tmp_path_factory.mktemp("llm")
    known: dict[tuple[str, str], Planned] = {}

    def plan(name: str, machine: str) -> Planned:
        if (name, machine) not in known:
            known[name, machine] = plan_llm(folder, name, machine)
        return known[name, machine]

    return plan


def made(plan_on: PlanOn, name: str, machine: str) -> LlmPlan:
    plan, found = plan_on(name, machine)
    assert plan is not None, [(item.code.id, item.detail) for item in found]
    return plan


@pytest.mark.parametrize(("name", "machine"), CASES)
def test_plan(name: str, machine: str, plan_on: PlanOn) -> None:
    plan, found = plan_on(name, machine)
    files = (
        {"errors.txt": render_diagnostics(found, "human", width=WIDTH)}
        if plan is None
        else golden_files(plan)
    )
    for file, text in files.items():
        for place in (str(PLANS.parent.parent), str(Path.home()), sys.prefix):
            assert place not in text, f"{file} holds an absolute path"
    check_files(PLANS / f"{name}@{machine}", files)


def test_each_machine_gets_the_backend_made_for_it(plan_on: PlanOn) -> None:
    assert made(plan_on, "llama-8b-lora", "m3-max-128gb").execution.backend == "mlx"
    assert made(plan_on, "llama-8b-lora", "rtx4090").execution.backend == "unsloth"
    several = made(plan_on, "llama-8b-lora", "h100x8").execution
    assert (several.backend, several.num_processes, several.per_device_train_batch_size) == ("trl", 8, 2)


def test_every_other_backend_is_told_why(plan_on: PlanOn) -> None:
    for name, machine in CASES:
        plan, _ = plan_on(name, machine)
        if plan is None:
            continue
        others = {
            str(item.facts["rejected"]): str(item.facts["why"])
            for item in plan.decisions
            if item.field == "execution.backend" and "rejected" in item.facts
        }
        assert {*others, plan.execution.backend} == {"accelerate", "axolotl", "mlx", "trl", "unsloth"}
        assert all(others.values())


def test_the_batch_is_the_same_on_every_machine(plan_on: PlanOn) -> None:
    for name, machine in CASES:
        plan, _ = plan_on(name, machine)
        if plan is not None:
            run = plan.execution
            parts = (
                run.num_processes,
                run.per_device_train_batch_size,
                run.gradient_accumulation_steps,
            )
            assert parts[0] is not None
            assert parts[1] is not None
            assert parts[2] is not None
            assert parts[0] * parts[1] * parts[2] == plan.train.global_batch_size == 16
            assert plan.estimates is not None
            assert plan.estimates.peak_memory_bytes <= (run.memory_limit_bytes or 0)


def test_what_does_not_fit_says_what_would(plan_on: PlanOn) -> None:
    refused = [found for plan, found in (plan_on(*case) for case in CASES) if plan is None]
    assert len(refused) >= 6
    for found in refused:
        (item,) = found
        assert item.code.id == "FTS403"
        assert "GiB" in item.detail
        assert item.help.count("GiB") >= 1


@pytest.mark.parametrize(
    ("name", "machine", "offer", "change"),
    [
        (
            "llama-8b-lora",
            "m2-16gb",
            "`adapter: {type: qlora}` with `export: {merge: false}` and `model.max_seq_length: 1024`",
            (
                ("type: lora", "type: qlora"),
                ("evaluation:", "export:\n  merge: false\nevaluation:"),
                ("2048", "1024"),
            ),
        ),
        ("qwen-3b-lora", "laptop-cpu", "`model.max_seq_length: 256`", (("2048", "256"),)),
        ("qwen-3b-full", "rtx4090", "`adapter: {type: lora}`", (("type: full", "type: lora"),)),
        (
            "llama-8b-qlora",
            "t4",
            "`export: {merge: false}`",
            (("evaluation:", "export:\n  merge: false\nevaluation:"),),
        ),
    ],
)
def test_offered_changes_really_fit(
    name: str,
    machine: str,
    offer: str,
    change: tuple[tuple[str, str], ...],
    plan_on: PlanOn,
    tmp_path: Path,
) -> None:
    _, found = plan_on(name, machine)
    (item,) = found
    assert offer in item.help
    plan, found = plan_llm(tmp_path, name, machine, change=change)
    assert plan is not None, [(item.code.id, item.detail) for item in found]


def test_plan_file_is_the_plan(plan_on: PlanOn) -> None:
    for name, machine in (("qwen-3b-full", "h100x8"), ("qwen-3b-qlora-apart", "m2-16gb")):
        plan = made(plan_on, name, machine)
        again, found = plan_from_json(plan_to_json(plan), name="plan")
        assert not found.has_errors
        assert again == plan
        assert digest(again) == digest(plan)
        assert json.loads(plan_to_json(plan))["kind"] == "LLM"


def test_a_metric_that_no_row_defines_is_told_before_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(llm_case.data_facts(), test_with_answers=0)
    monkeypatch.setattr(llm_case, "data_facts", lambda: facts)
    change = (("generate_rows: 100", "generate_rows: 100\n  metrics: [loss, exact_match]"),)
    gate = (*change, ("evaluation:", "gates:\n  exact_match: {min: 0.5}\nevaluation:"))
    _, found = plan_llm(tmp_path, "qwen-3b-lora", "rtx4090", change=gate)
    (item,) = found
    assert item.code.id == "FTS804"
    assert "none of the 500 held-out rows has `answers`" in item.detail
    assert item.primary is not None
    plan, found = plan_llm(
        tmp_path, "qwen-3b-lora", "rtx4090", change=change
    )  # measured, and decides nothing
    assert plan is not None, [*found]
