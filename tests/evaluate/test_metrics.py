"""Metric values against values worked out by hand."""

from math import log2

import pytest

from ftspec.evaluate.metrics import per_query
from ftspec.evaluate.rank import Ranking


def ranking(query_id: str, *documents: str) -> Ranking:
    return Ranking(query_id=query_id, documents=documents, scores=(0.5,) * len(documents))


def value(metric: str, judgements: dict[str, int], *documents: str) -> float:
    (found,) = per_query([metric], {"q": judgements}, [ranking("q", *documents)])[metric]
    return found


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ndcg@3", (1 / log2(2 + 1) + 2 / log2(3 + 1)) / (2 / log2(2) + 1 / log2(3))),
        ("recall@1", 0.0),
        ("recall@2", 0.5),
        ("recall@3", 1.0),
        ("mrr@10", 0.5),
        ("mrr@1", 0.0),
        ("success@1", 0.0),
        ("success@2", 1.0),
        ("precision@2", 0.5),
        ("precision@4", 0.5),
        ("map@3", (1 / 2 + 2 / 3) / 2),
        ("map@2", (1 / 2) / 2),
    ],
)
def test_by_hand(metric: str, expected: float) -> None:
    assert value(metric, {"b": 1, "c": 2, "z": 0}, "a", "b", "c", "d") == pytest.approx(expected)


def test_nothing_found() -> None:
    for metric in ("ndcg@2", "recall@2", "mrr@2", "success@2", "precision@2", "map@2"):
        assert value(metric, {"x": 1}, "a", "b") == 0


def test_the_order_of_the_ranking_counts_not_its_scores() -> None:
    # All scores are equal; trec_eval alone would break the tie by falling id.
    assert value("mrr@10", {"a": 1}, "a", "b", "c") == 1
    assert value("mrr@10", {"c": 1}, "a", "b", "c") == pytest.approx(1 / 3)


def test_values_stand_in_the_order_of_the_queries() -> None:
    judgements = {"q9": {"a": 1}, "q1": {"b": 1}}
    found = per_query(["recall@1"], judgements, [ranking("q9", "a"), ranking("q1", "a")])
    assert found == {"recall@1": (1.0, 0.0)}


def test_an_empty_ranking_found_nothing() -> None:
    found = per_query(["ndcg@10"], {"q": {"a": 1}, "p": {"a": 1}}, [ranking("q"), ranking("p", "a")])
    assert found["ndcg@10"] == (0.0, 1.0)


@pytest.mark.parametrize("judgements", [{}, {"q": {}}, {"q": {"a": 0}}])
def test_a_query_without_a_relevant_document_is_our_fault(judgements: dict[str, dict[str, int]]) -> None:
    with pytest.raises(AssertionError, match="no relevant document"):
        per_query(["ndcg@10"], judgements, [ranking("q", "a")])
