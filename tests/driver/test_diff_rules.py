"""The rules say what the stages do: each key of both kinds is changed in a real spec, and planned."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ftspec.paths import shared_folder
from ftspec.plan.changes import Category, cost
from ftspec.plan.compare import SPELLED_OUT, Half, changes_of, costliest
from ftspec.plan.continuation import same_weights
from ftspec.plan.model import Plan
from ftspec.plan.trees import spec_of_plan
from ftspec.source.load import load_document
from ftspec.spec.canonical import canonical_text
from ftspec.spec.kinds import SPECS
from tests import test_llm_properties as llm
from tests import test_plan_properties as embedding
from tests.spec_leaves import rules_of_leaf

Build = Callable[[str, Mapping[str, Any]], Plan]

build = embedding.build
build_llm = llm.build

# What spells out a default, or decides what was decided anyway.
ORIGIN_ONLY = {
    *embedding.ORIGIN_ONLY, *llm.ORIGIN_ONLY,
}  # fmt: skip


def _spec(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical spec, as the plan was made from."""
    document, _ = load_document(shared_folder("specs") / f"{name}.yaml")
    assert document is not None
    for path, value in values.items():
        steps = ["gates", path[6:]] if path.startswith("gates.") else path.split(".")
        embedding._set(document.tree, steps, value)
    spec = SPECS[document.tree["kind"]].model_validate(document.tree)
    canonical: dict[str, Any] = json.loads(canonical_text(spec))
    return canonical


def _half(plan: Plan, spec: dict[str, Any]) -> Half:
    return Half(kind=plan.kind, spec=spec, plan=plan, packages={}, place=lambda path: "")


def _judge(leaf: str, before: Half, after: Half) -> None:
    found = changes_of(before, after)
    assert before.plan is not None
    assert after.plan is not None
    assert "ftspec" not in [each.path for each in found], found
    assert not changes_of(before, before)
    most = costliest(found)
    assert most is not None
    assert same_weights(before.plan, after.plan) == (cost(most) < cost(Category.EXTEND)), found
    spelled = [each.rule for each in found if each.why == SPELLED_OUT]
    assert not spelled or leaf in ORIGIN_ONLY, found
    rules = set(rules_of_leaf(leaf))
    assert any(
        each.rule in rules or each.rule.startswith(f"{leaf}.") or leaf.startswith(each.rule) for each in found
    ) or any(rule.startswith(each.rule) for each in found for rule in rules), found


@pytest.mark.parametrize("leaf", embedding.CHANGES)
def test_embedding(leaf: str, build: Build) -> None:
    name, needs, change = embedding.CHANGES[leaf]
    before, after = needs, {**needs, **change}
    _judge(
        leaf, _half(build(name, before), _spec(name, before)), _half(build(name, after), _spec(name, after))
    )


@pytest.mark.parametrize("leaf", llm.CHANGES)
def test_llm(leaf: str, build_llm: Build) -> None:
    name, needs, change = llm.CHANGES[leaf]
    before, after = needs, {**needs, **change}
    full = f"llm-{name}"
    _judge(
        leaf,
        _half(build_llm(name, before), _spec(full, before)),
        _half(build_llm(name, after), _spec(full, after)),
    )


@pytest.mark.parametrize("leaf", [leaf for leaf in embedding.CHANGES if leaf != "model.freeze.fraction"])
def test_plans_that_were_saved_without_their_spec(leaf: str, build: Build) -> None:
    name, needs, change = embedding.CHANGES[leaf]
    one, other = build(name, needs), build(name, {**needs, **change})
    found = changes_of(_half(one, spec_of_plan(one)), _half(other, spec_of_plan(other)))
    assert bool(found) == (leaf not in ORIGIN_ONLY or leaf.startswith("resources."))
    assert "ftspec" not in [each.path for each in found], found
