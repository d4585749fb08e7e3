"""The id of an embedding space, and the rules that say which changes break it, agree."""

from dataclasses import replace
from typing import Any

import pytest

from ftspec.plan.changes import RULES, Category
from ftspec.plan.embedding import EmbeddingModelPlan, Freeze
from ftspec.plan.space import space_id_of
from tests.embedding_plan import complete_plan


def _model(**changes: Any) -> EmbeddingModelPlan:
    model = complete_plan().model
    return replace(model, similarity="dot", facts=replace(model.facts, normalizes=False), **changes)


def _prompts(**changes: str) -> EmbeddingModelPlan:
    model = _model()
    return replace(model, prompts=replace(model.prompts, **changes))


def _other_files() -> EmbeddingModelPlan:
    model = _model()
    return replace(model, facts=replace(model.facts, weights_sha256="sha256:" + "9" * 64))


BREAKS = {
    "model.base": _other_files(),
    "model.base#content": _other_files(),
    "model.revision": _other_files(),
    "model.max_seq_length": replace(_model(), max_seq_length=_model().max_seq_length + 1),
    "model.prompts.query": _prompts(query="another: "),
    "model.prompts.document": _prompts(document="another: "),
    "model.pooling": replace(_model(), pooling="another"),
    "model.similarity": replace(_model(), similarity="cosine"),
}


def test_every_rule_of_the_model_is_among_them() -> None:
    rules = {
        rule.path
        for rule in RULES
        if rule.category is Category.SPACE_BREAK
        and "Embedding" in rule.kinds
        and rule.path.startswith("model.")
    }
    assert rules == set(BREAKS)


@pytest.mark.parametrize("path", BREAKS)
def test_what_breaks_a_space_is_another_space(path: str) -> None:
    assert space_id_of(BREAKS[path]) != space_id_of(_model())


def test_what_is_trained_is_told_by_the_weights_alone() -> None:
    model = _model()
    assert space_id_of(replace(model, freeze=Freeze(layers=3))) == space_id_of(model)
    assert space_id_of(model, "1" * 64) == space_id_of(_other_files(), "1" * 64)
