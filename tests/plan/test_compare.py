"""Every rule is reached by a change, and a spec that means the same has no change."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.plan.changes import RULES, Category, Condition, Rule, cost
from ftspec.plan.compare import Half, changes_of, costliest
from ftspec.plan.conditions import holds
from ftspec.plan.trees import TreePath, matched, path_text, spec_of_plan, tree_changes
from tests.embedding_plan import complete_plan

Tree = dict[str, Any]


def _half(tree: Tree, kind: str = "Embedding") -> Half:
    return Half(kind=kind, spec=tree, plan=None, packages={}, place=lambda path: ".".join(map(str, path)))


def _tree(path: str, value: Any) -> Tree:
    """A tree with one value at the path of a rule; sources and gates have what tells them apart."""
    tree: Tree = {}
    node: Any = tree
    steps = path.split(".")
    for index, step in enumerate(steps):
        last = index == len(steps) - 1
        if step == "*" and isinstance(node, list):
            if last:
                node += [] if value is None else [{"type": "file", "path": "rows.jsonl", "value": value}]
                return tree
            node.append({"type": "file", "path": "rows.jsonl"})
            node = node[0]
            continue
        name = "ndcg@10" if step == "*" else step
        if last:
            node[name] = value
            return tree
        node[name] = [] if steps[index + 1] == "*" and steps[0] == "data" else {}
        node = node[name]
    return tree


OF_TREES = [
    (rule, kind)
    for rule in RULES
    for kind in rule.kinds
    if "#" not in rule.path
    and rule.path.split(".")[0] not in ("machine", "packages", "lock", "ftspec", "kind")
]


@pytest.mark.parametrize(("rule", "kind"), OF_TREES, ids=lambda each: getattr(each, "path", each))
def test_every_rule_is_reached_by_a_change(rule: Rule, kind: str) -> None:
    old, new = _tree(rule.path, "old"), _tree(rule.path, "new")
    if rule.path == "data.evaluation":
        old, new = {"data": {"evaluation": []}}, {"data": {"evaluation": [_source("a")]}}
    if rule.path in ("data.train.*", "data.evaluation.*"):  # a source more
        old = _tree(rule.path, "a")
        new = _tree(rule.path, "a")
        side = rule.path.split(".")[1]
        new["data"][side].append({"type": "file", "path": "more.jsonl"})
    (change,) = changes_of(_half(old, kind), _half(new, kind))
    assert (change.rule, change.category, change.why) == (rule.path, rule.category, rule.why)
    assert costliest([change]) is rule.category
    assert not changes_of(_half(old, kind), _half(old, kind))


def test_a_section_on_one_side_is_one_change() -> None:
    old = {"model": {"lora": None}, "gates": {}, "metadata": {"labels": {}}}
    new = {
        "model": {"lora": {"r": 8, "alpha": 16}},
        "gates": {"a.b@1": {"min": 0.5}},
        "metadata": {"labels": {"x.y": "z"}},
    }
    found = changes_of(_half(old), _half(new))
    assert [(each.path, each.rule) for each in found] == [
        ("model.lora", "model.lora"),
        ('gates."a.b@1"', "gates.*"),
        ('metadata.labels."x.y"', "metadata.labels"),
    ]
    assert found[0].old is None
    assert found[0].new == {"r": 8, "alpha": 16}
    assert not changes_of(_half({"model": {}}), _half({"model": {"lora": None}}))


def test_another_objective_is_one_change_and_what_both_have_is_compared() -> None:
    old = {"train": {"objective": {"type": "contrastive", "temperature": 0.05}, "seed": 1}}
    new = {"train": {"objective": {"type": "triplet", "margin": 0.3}, "seed": 2}}
    assert [each.path for each in changes_of(_half(old), _half(new))] == [
        "train.objective.type",
        "train.seed",
    ]


def test_another_kind_is_the_only_change() -> None:
    (change,) = changes_of(_half({"a": 1}), _half({"a": 2}, "LLM"))
    assert (change.path, change.category) == ("kind", Category.SPACE_BREAK)


def test_numbers_are_equal_by_value_and_truths_are_no_numbers() -> None:
    assert not tree_changes({"a": 1, "b": [1, 2]}, {"a": 1.0, "b": [1.0, 2.0]})
    assert tree_changes({"a": 1}, {"a": True})
    assert tree_changes({"a": 0}, {"a": False})


def _source(path: str, **more: Any) -> Tree:
    return {"type": "file", "path": path, **more}


def test_sources_are_matched_by_what_they_are() -> None:
    a, b, c = _source("a"), _source("b"), _source("c")
    assert [*matched([a, b], [c, a, b])] == [(None, 0), (0, 1), (1, 2)]
    assert [*matched([a, b], [b])] == [(0, None), (1, 0)]
    assert [*matched([a], [c])] == [(0, 0)]
    assert [*matched([a], [{"type": "code", "path": "a"}])] == [(0, None), (None, 0)]
    old = {"data": {"train": [a, _source("b", format="csv")]}}
    new = {"data": {"train": [c, a, _source("b", format="json")]}}
    found = [(path_text(each.path), path_text(each.old_path)) for each in tree_changes(old, new)]
    assert found == [("data.train.0", "data.train.0"), ("data.train.2.format", "data.train.1.format")]


def test_the_costliest_comes_first() -> None:
    old = {
        "metadata": {"name": "a"},
        "evaluation": {"top_k": 1},
        "train": {"seed": 1},
        "model": {"pooling": "cls"},
    }
    new = {
        "metadata": {"name": "b"},
        "evaluation": {"top_k": 2},
        "train": {"seed": 2},
        "model": {"pooling": "max"},
    }
    found = changes_of(_half(old), _half(new))
    costs = [cost(each.category) for each in found]
    assert costs == sorted(costs, reverse=True)
    assert costliest(found) is Category.SPACE_BREAK
    assert costliest([]) is None


def test_packages_are_compared_where_both_sides_know_theirs() -> None:
    one = Half(kind="LLM", spec={}, plan=None, packages={"torch": "2.9", "peft": "1"}, place=lambda path: "")
    two = Half(kind="LLM", spec={}, plan=None, packages={"torch": "2.10", "peft": "1"}, place=lambda path: "")
    (change,) = changes_of(one, two)
    assert (change.path, change.old, change.new) == ("packages.torch", "2.9", "2.10")
    assert change.category is Category.REALISATION
    assert not changes_of(one, _half({}, "LLM"))


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
_TREES = st.recursive(
    st.dictionaries(st.text(max_size=5), _LEAVES, max_size=4),
    lambda below: st.dictionaries(
        st.text(max_size=5), _LEAVES | below | st.lists(_LEAVES, max_size=3), max_size=4
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_TREES, _TREES)
def test_only_what_differs_is_a_change(one: Tree, other: Tree) -> None:
    again = json.loads(json.dumps(one, sort_keys=True))
    assert not tree_changes(one, again)
    forth, back = tree_changes(one, other), tree_changes(other, one)
    assert sorted(map(str, (each.path for each in forth))) == sorted(map(str, (each.path for each in back)))


def test_other_weights_that_no_key_explains_are_a_training_from_the_start() -> None:
    """Called an extension only where the old training is a prefix of the new one."""
    old = complete_plan()
    new = replace(old, train=replace(old.train, learning_rate=old.train.learning_rate * 2))
    tree = spec_of_plan(old)
    halves = [replace(_half(tree), plan=plan) for plan in (old, new)]
    (change,) = changes_of(halves[0], halves[1])
    assert (change.path, change.category) == ("ftspec", Category.RETRAIN)


def test_a_source_that_moved_down_its_list_is_looked_up_where_it_was() -> None:
    """Another path to the very same content, after a source that is new."""
    old = complete_plan()
    (source,) = old.data.facts.sources
    before = replace(source, digest="sha256:" + "1" * 64)
    facts = replace(old.data.facts, sources=(before, source))
    train = (*old.data.train, *old.data.train)
    new = replace(old, data=replace(old.data, train=train, facts=facts))
    place: TreePath = ("data", "train", 1, "path")
    assert holds(Condition.SAME_DATA, place, old, new, old_path=("data", "train", 0, "path"))
    assert not holds(Condition.SAME_DATA, place, old, new)
