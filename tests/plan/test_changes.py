"""The table of rules knows every key of every kind of spec, and nothing else."""

import pytest

from ftspec.plan.changes import (
    MEANING,
    RULES,
    UNMAPPED,
    Category,
    Rule,
    cost,
    find_rule,
    is_mapped,
    rule_path,
)
from ftspec.spec.kinds import SPECS
from tests.spec_leaves import rule_paths

# Of the world: what a name leads to, the machine, ftspec itself.
OF_THE_WORLD = {"machine", "packages.*", "lock.models.*", "lock.data.*", "lock.packages.*", "ftspec"}


@pytest.mark.parametrize("kind", SPECS)
def test_every_key_has_a_rule(kind: str) -> None:
    known = {rule.path for rule in RULES if kind in rule.kinds}
    of_spec = {path for path in known if "#" not in path} - OF_THE_WORLD
    assert sorted(rule_paths(kind) - of_spec) == []
    assert sorted(of_spec - rule_paths(kind)) == []


def test_one_rule_for_one_key() -> None:
    pairs = [(rule.path, kind) for rule in RULES for kind in rule.kinds]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.path}-{rule.kinds[0]}")
def test_rules_are_sentences(rule: Rule) -> None:

    for text in (rule.why, *(case.why for case in rule.cases)):
        assert text[0].isupper()
        assert text.endswith(".")
        assert text != UNMAPPED


def test_categories_are_ordered_by_cost() -> None:
    assert [str(category) for category in sorted(Category, key=cost)] == [
        "metadata", "realisation", "evaluation", "export", "extend", "warm-start", "retrain", "space-break",
    ]  # fmt: skip
    assert set(MEANING) == set(Category)


def test_an_unknown_key_is_costly() -> None:
    rule = find_rule(("train", "new_key"), "LLM")
    assert rule.category is Category.RETRAIN
    assert not is_mapped(rule)
    assert not is_mapped(find_rule(("adapter", "r"), "Embedding"))


def test_paths_of_rules() -> None:
    assert rule_path(("gates", "ndcg@10", "min")) == "gates.*.min"
    assert rule_path(("gates", "ndcg@10")) == "gates.*"
    assert rule_path(("data", "train", 3, "roles", "query")) == "data.train.*.roles.query"
    assert rule_path(("metadata", "labels", "a.b")) == "metadata.labels"
    assert find_rule(("data", "train", 0), "LLM", content=True).path == "data.train.*#content"
