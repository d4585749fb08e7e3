"""The objectives: against the library's own losses, against their cached form, and with judgements."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.tiny_model import make_tiny_model, tiny_texts

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def calm_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Without dropout, so that two forward passes agree."""
    from sentence_transformers import SentenceTransformer

    folder = make_tiny_model(tmp_path_factory.mktemp("calm") / "tiny", dropout=0.0)
    return SentenceTransformer(str(folder), device="cpu")


def features(model: Any, columns: int, rows: int = 8) -> list[dict[str, torch.Tensor]]:
    return [model.preprocess(tiny_texts(rows, 4 + column, offset=100 * column)) for column in range(columns)]


def loss_and_gradients(
    model: Any, loss: Any, columns: int, labels: torch.Tensor
) -> tuple[float, list[torch.Tensor]]:
    model.train()
    model.zero_grad()
    value = loss(features(model, columns), labels)
    value.backward()
    return value.item(), [item.grad.clone() for item in model.parameters() if item.grad is not None]


def rows_with_twins(count: int = 8) -> list[dict[str, Any]]:
    """Row 1's document is judged for row 0; rows 2 and 3 have the same document; 4 and 5 the same query."""
    documents = tiny_texts(count, 6, offset=500)
    queries = tiny_texts(count, 4)
    documents[3] = documents[2].upper()
    queries[5] = queries[4]
    rows = [
        {
            "query_id": f"q{i}",
            "query": queries[i],
            "positive_id": f"d{i}",
            "positive": documents[i],
            "judged": [f"d{i}"],
        }
        for i in range(count)
    ]
    rows[0]["judged"] = ["d0", "d1"]
    rows[6]["negatives"] = [documents[0]]
    return [
        {**row, "negatives": row.get("negatives", [f"nothing like it {i}"])} for i, row in enumerate(rows)
    ]


def test_which_documents_are_no_negatives(load: Load) -> None:
    judgements = load("data").Judgements.from_rows(rows_with_twins(), 1)
    mask = judgements.relevant_mask(torch.arange(8))
    found = {(int(query), int(document)) for query, document in mask.nonzero()}
    assert found == {
        (0, 1),  # judged
        (2, 3), (3, 2),  # the same text
        (4, 5), (5, 4),  # the same query has two positives
        (0, 14),  # the explicit negative of row 6 is the positive of row 0
    }  # fmt: skip


def test_mask_follows_the_rows_of_the_batch(load: Load) -> None:
    judgements = load("data").Judgements.from_rows(rows_with_twins(), 0)
    assert judgements.relevant_mask(torch.tensor([7, 1, 0])).nonzero().tolist() == [[2, 1]]


def test_a_masked_document_has_no_influence(load: Load) -> None:
    judgements = load("data").Judgements.from_rows(rows_with_twins(), 0)
    loss = load("losses").Contrastive(judgements, temperature=0.5, symmetric=False, similarity="dot")
    torch.manual_seed(0)
    queries, documents = torch.randn(2, 16), torch.randn(2, 16)
    scores = queries @ documents.T / 0.5
    second = torch.logsumexp(scores[1], 0) - scores[1, 1]  # row 0 has no negative left: its loss is 0
    assert float(loss([queries, documents], torch.tensor([0, 1]))) == pytest.approx(
        float(second / 2), abs=1e-5
    )


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("symmetric", [False, True])
def test_contrastive_is_the_library_loss(load: Load, calm_model: Any, columns: int, symmetric: bool) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    if symmetric:
        native = MultipleNegativesRankingLoss(
            calm_model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )
    else:
        native = MultipleNegativesRankingLoss(calm_model)
    losses = load("losses")
    ours = losses.EmbeddingLoss(
        calm_model, losses.Contrastive(None, temperature=0.05, symmetric=symmetric, similarity="cosine")
    )
    labels = torch.arange(8)
    expected, gradients = loss_and_gradients(calm_model, native, columns, labels)
    value, mine = loss_and_gradients(calm_model, ours, columns, labels)
    assert value == pytest.approx(expected, abs=1e-5)
    for one, two in zip(gradients, mine, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dims", [(), (32, 16)])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_cached_equals_plain(
    load: Load, calm_model: Any, symmetric: bool, dims: tuple[int, ...], similarity: str
) -> None:
    losses = load("losses")
    judgements = load("data").Judgements.from_rows(rows_with_twins(), 1)
    objective = losses.Prefixes(
        losses.Contrastive(judgements, temperature=0.05, symmetric=symmetric, similarity=similarity),
        dims,
        tuple(1.0 / (1 + place) for place in range(len(dims))),
    )
    labels = torch.arange(8)
    plain = loss_and_gradients(calm_model, losses.EmbeddingLoss(calm_model, objective), 3, labels)
    cached = loss_and_gradients(calm_model, losses.CachedEmbeddingLoss(calm_model, objective, 3), 3, labels)
    assert cached[0] == pytest.approx(plain[0], abs=1e-4)
    for one, two in zip(plain[1], cached[1], strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_prefixes_are_the_library_matryoshka_loss(load: Load, calm_model: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

    losses = load("losses")
    objective = losses.Prefixes(
        losses.Contrastive(None, temperature=0.05, symmetric=False, similarity="cosine"),
        (32, 16, 8),
        (1, 0.5, 2),
    )
    native = MatryoshkaLoss(calm_model, MultipleNegativesRankingLoss(calm_model), [32, 16, 8], [1, 0.5, 2])
    labels = torch.arange(8)
    expected, gradients = loss_and_gradients(calm_model, native, 2, labels)
    value, mine = loss_and_gradients(calm_model, losses.EmbeddingLoss(calm_model, objective), 2, labels)
    assert value == pytest.approx(expected, abs=1e-4)
    for one, two in zip(gradients, mine, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_triplet_is_the_library_loss(load: Load, calm_model: Any, distance: str) -> None:
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

    losses = load("losses")
    native = TripletLoss(calm_model, getattr(TripletDistanceMetric, distance.upper()), 0.3)
    ours = losses.EmbeddingLoss(calm_model, losses.Triplet(margin=0.3, distance=distance))
    labels = torch.arange(8)
    expected = loss_and_gradients(calm_model, native, 3, labels)[0]
    assert loss_and_gradients(calm_model, ours, 3, labels)[0] == pytest.approx(expected, abs=1e-5)


def test_batches_depend_on_seed_and_epoch_alone(load: Load) -> None:
    sampler = load("data").SeededBatchSampler(range(10), batch_size=4, drop_last=True, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    assert [len(batch) for batch in first] == [4, 4]
    assert len(sampler) == 2
    sampler.set_epoch(1)
    assert list(sampler) != first
    keeping = load("data").SeededBatchSampler(range(10), batch_size=4, drop_last=False, seed=3)
    assert sorted(row for batch in keeping for row in batch) == list(range(10))
    assert len(keeping) == 3


def test_ranking_metrics(load: Load) -> None:
    import numpy as np

    ranking = load("ranking")
    queries, documents = (
        np.eye(2, dtype=np.float32),
        np.array([[0.5, 0.1], [1, 0.2], [0, 1]], dtype=np.float32),
    )
    grades = [{0: 2, 2: 1}, {2: 1}]
    expected = {
        "recall@1": 0.5,
        "mrr@10": 0.75,
        "success@1": 0.5,
        "precision@2": 0.5,
        "map@3": (0.5 * (1 / 2 + 2 / 3) + 1) / 2,
    }
    for metric, value in expected.items():
        assert ranking.mean_metric(queries, documents, grades, metric) == pytest.approx(value), metric
    gain = (2 / np.log2(3) + 1 / 2) / (2 + 1 / np.log2(3))
    assert ranking.mean_metric(queries, documents, grades, "ndcg@3") == pytest.approx((gain + 1) / 2)
    with pytest.raises(ValueError, match="unknown metric"):
        ranking.split_metric("ndcg")
