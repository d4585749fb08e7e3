"""What a plan says of each field: exact, approximated or impossible on the chosen backend."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ftspec.diagnostics.model import Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.passes.context import Context
from ftspec.passes.driver import optimise
from ftspec.plan.codec import digest
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Fidelity, FieldFidelity
from ftspec.plan.text import plan_from_json, plan_to_json
from ftspec.target.fields import FieldLowering, is_among
from ftspec.target.model import Target
from ftspec.view.fidelity import fidelity_summary
from ftspec.view.plan_human import render_plan
from ftspec.view.plan_json import plan_json
from ftspec.view.plan_markdown import plan_markdown
from tests.resolve.make import gpu, hardware, resolved, spec_tree, target

NO_CLIP = "It clips no gradients."
FIELDS = {
    "data.*": {"ignored": "Spent before."},
    "train.learning_rate": {"native": "rate"},
    "train.seed": {"native": "seed", "approximated": "Half of it."},
    "train.max_grad_norm": {"impossible": NO_CLIP, "cases": [{"values": [2]}]},
    "train.lr_num_cycles": {"impossible": "It has no cycles."},
    "execution.precision": {
        "native": "dtype",
        "cases": [{"values": ["bf16"], "devices": ["cuda"], "approximated": "Norms stay fp32."}],
    },
}


def backend(name: str = "half", **fields: Any) -> Target:
    lowered = {path: FieldLowering.model_validate(entry) for path, entry in {**FIELDS, **fields}.items()}
    return target(name, fields=lowered)


def planned(
    folder: Path, *targets: Target, machine: Hardware | None = None, **train: Any
) -> tuple[EmbeddingPlan | None, Diagnostics]:
    machine = machine or hardware()
    first = resolved(folder, spec_tree(train=train), machine=machine)
    return optimise(first, Context(hardware=machine, targets=targets or (backend(),)))


def plan_of(folder: Path, *targets: Target, **more: Any) -> EmbeddingPlan:
    plan, found = planned(folder, *targets, **more)
    assert plan is not None, [(item.code.id, item.detail) for item in found]
    return plan


def told(plan: EmbeddingPlan) -> dict[str, FieldFidelity]:
    return {row.field: row for row in plan.fidelity}


def test_every_handed_field_has_one_entry_in_the_order_of_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert [(row.field, row.support, row.difference) for row in plan.fidelity] == [
        ("train.learning_rate", Fidelity.EXACT, ""),
        ("train.lr_num_cycles", Fidelity.EXACT, ""),  # null asks for nothing
        ("train.max_grad_norm", Fidelity.IMPOSSIBLE, NO_CLIP),  # a default
        ("train.seed", Fidelity.APPROXIMATED, "Half of it."),
        ("execution.precision", Fidelity.EXACT, ""),
    ]


def test_a_case_may_hold_on_one_device_alone(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, machine=hardware(gpu()))
    assert told(plan)["execution.precision"].difference == "Norms stay fp32."


def test_what_was_asked_for_is_refused_with_the_backends_that_can(tmp_path: Path) -> None:
    half, able = backend(), backend("able", **{"train.max_grad_norm": {"native": "clip"}})
    plan, found = planned(tmp_path, half, max_grad_norm=0.5)
    assert plan is None
    (fault,) = found
    assert fault.code.id == "FTS402"
    assert fault.detail == f"`train.max_grad_norm` is 0.5; half: {NO_CLIP}"
    assert "no other backend for this machine" in fault.help
    assert plan_of(tmp_path, half, able, max_grad_norm=0.5).execution.backend == "able"
    first = resolved(tmp_path, {**spec_tree(train={"max_grad_norm": 0.5}), "resources": {"backend": "half"}})
    _, found = optimise(first, Context(hardware=hardware(), targets=(half, able)))
    (fault,) = found
    assert fault.help == "leave it out of the spec, or choose `able` for `resources.backend`"


def test_a_value_that_asks_for_what_it_does_anyway_is_exact(tmp_path: Path) -> None:
    assert told(plan_of(tmp_path, max_grad_norm=2.0))["train.max_grad_norm"].support is Fidelity.EXACT


def test_promises_are_part_of_what_was_reviewed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    other = plan_of(tmp_path, backend(**{"train.seed": {"native": "seed"}}))
    assert digest(plan) != digest(other)
    again, found = plan_from_json(plan_to_json(plan), name="plan")
    assert again == plan, [*found]
    edited = plan_to_json(plan).replace("Half of it.", "None of it.")
    assert {item.code.id for item in plan_from_json(edited, name="plan")[1]} == {"FTS603"}


def test_every_format_tells_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    summary = "3 fields exact; approximated: train.seed; impossible: train.max_grad_norm"
    assert fidelity_summary(plan) == summary
    text = " ".join(render_plan(plan, width=120).split())
    assert f"half {summary}" in text
    assert "approximated train.seed: Half of it." in text
    assert f"impossible train.max_grad_norm: {NO_CLIP}" in text
    assert "exact train.learning_rate" not in text
    assert "exact train.learning_rate" in " ".join(render_plan(plan, explain=True).split())
    assert f"| train.max&#95;grad&#95;norm | impossible | {NO_CLIP} |" in plan_markdown(plan)
    rows = plan_json(plan)["fidelity"]
    assert rows[3] == {"field": "train.seed", "support": "approximated", "difference": "Half of it."}
    exact = plan_of(
        tmp_path, backend(**{"train.seed": {"native": "s"}, "train.max_grad_norm": {"native": "c"}})
    )
    assert fidelity_summary(exact) == "all 5 fields exact"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "exactly one of"),
        ({"native": "a", "impossible": "b"}, "exactly one of"),
        ({"impossible": "a", "approximated": "b"}, "goes with `native`"),
        ({"ignored": "a", "cases": [{"values": [1]}]}, "`cases` go with"),
        ({"native": "a", "cases": [{"approximated": "b"}]}, "a case needs"),
        (
            {"native": "a", "cases": [{"values": [1], "approximated": "b", "impossible": "c"}]},
            "exclude each other",
        ),
    ],
)
def test_entries_that_say_two_things_are_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FieldLowering.model_validate(entry)


def test_values_are_compared_as_a_spec_means_them() -> None:
    assert is_among(1, [1.0])
    assert not is_among(True, [1])
    assert not is_among(0, [False])
    assert is_among(("a", "b"), [["a", "b"]])
    assert is_among(None, [None])
    assert not is_among("1", [1])
