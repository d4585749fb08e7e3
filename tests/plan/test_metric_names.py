import pytest

from ftspec.plan.metrics import Metric, parse_metric


def test_round_trip() -> None:
    assert parse_metric("ndcg@10") == Metric(name="ndcg", k=10)
    assert str(Metric(name="mrr", k=5)) == "mrr@5"


@pytest.mark.parametrize(
    "text",
    ["", "ndcg", "NDCG@10", "ndcg@0", "ndcg@01", "ndcg@-1", "ndcg@10 ", "bleu@4", "ndcg@10\n", "ndcg@٣"],
)
def test_other_spellings_are_none(text: str) -> None:
    assert parse_metric(text) is None
