"""Rankings are exact, bounded in memory, and the same for ties."""

import numpy as np
import pytest

from ftspec.evaluate.rank import rank


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_equals_a_full_sort() -> None:
    random = np.random.default_rng(0)
    queries = random.normal(size=(7, 16)).astype(np.float32)
    documents = random.normal(size=(5000, 16)).astype(np.float32)
    ids = names("d", 5000)
    found = rank(queries, documents, query_ids=names("q", 7), document_ids=ids, top_k=50, cosine=False)
    scores = queries.astype(np.float64) @ documents.astype(np.float64).T
    for row, ranking in enumerate(found):
        expected = [ids[column] for column in np.argsort(-scores[row])[:50]]
        assert list(ranking.documents) == expected
        assert ranking.scores == pytest.approx(sorted(scores[row])[::-1][:50], rel=1e-6)


def test_small_chunks_change_nothing() -> None:
    random = np.random.default_rng(1)
    queries, documents = random.normal(size=(9, 8)), random.normal(size=(40, 8))
    arguments = {"query_ids": names("q", 9), "document_ids": names("d", 40), "top_k": 5, "cosine": True}
    assert rank(queries, documents, **arguments) == rank(queries, documents, **arguments, score_bytes=1)


def test_ties_stand_in_the_order_of_their_ids_also_at_the_cut() -> None:
    documents = np.ones((2000, 4), dtype=np.float32)
    ids = [f"d{number:04d}" for number in reversed(range(2000))]
    (ranking,) = rank(
        np.ones((1, 4), dtype=np.float32),
        documents,
        query_ids=["q"],
        document_ids=ids,
        top_k=5,
        cosine=True,
    )
    assert ranking.documents == ("d0000", "d0001", "d0002", "d0003", "d0004")


def test_equal_documents_tie_wherever_they_stand() -> None:
    random = np.random.default_rng(2)
    twin = random.normal(size=384).astype(np.float32)
    documents = random.normal(size=(5001, 384)).astype(np.float32)
    documents[[3, 4097, 5000]] = twin
    ids = [f"d{number:05d}" for number in range(5001)]
    (ranking,) = rank(twin[None], documents, query_ids=["q"], document_ids=ids, top_k=3, cosine=True)
    assert ranking.documents == ("d00003", "d04097", "d05000")
    assert len(set(ranking.scores)) == 1


def test_a_prefix_is_normalised_again_for_cosine() -> None:
    query = np.array([[1.0, 0.0, 5.0]])
    documents = np.array([[0.6, 0.8, 0.0], [0.1, 0.0, 9.0]])
    arguments = {"query_ids": ["q"], "document_ids": ["a", "b"], "top_k": 2, "dimension": 2}
    (cosine,) = rank(query, documents, **arguments, cosine=True)
    (dot,) = rank(query, documents, **arguments, cosine=False)
    assert cosine.documents == ("b", "a")
    assert cosine.scores == pytest.approx((1.0, 0.6))
    assert dot.documents == ("a", "b")
    assert dot.scores == pytest.approx((0.6, 0.1))


def test_excluded_documents_are_not_ranked() -> None:
    documents = np.eye(3)
    found = rank(
        np.eye(3)[:2],
        documents,
        query_ids=["a", "b"],
        document_ids=["a", "b", "c"],
        top_k=3,
        cosine=True,
        exclude=[frozenset({"a"}), frozenset({"missing"})],
    )
    assert found[0].documents == ("b", "c")
    assert found[1].documents == ("b", "a", "c")


def test_a_top_k_above_the_corpus_ranks_all_of_it() -> None:
    (ranking,) = rank(
        np.ones((1, 2)), np.eye(2), query_ids=["q"], document_ids=["a", "b"], top_k=100, cosine=True
    )
    assert ranking.documents == ("a", "b")


def test_zero_vectors_score_zero_and_nan_is_refused() -> None:
    arguments = {"query_ids": ["q"], "document_ids": ["a"], "top_k": 1, "cosine": True}
    (ranking,) = rank(np.zeros((1, 2)), np.ones((1, 2)), **arguments)
    assert ranking.scores == (0.0,)
    with pytest.raises(AssertionError, match="NaN"):
        rank(np.full((1, 2), np.nan), np.ones((1, 2)), **arguments)
