import pytest

from ftspec.plan.metrics import (
    METRIC_NAMES,
    METRICS,
    Metric,
    higher_is_better,
    metric_traits,
    metrics_of,
    needs_generation,
    parse_metric,
)


def test_round_trip() -> None:
    assert parse_metric("ndcg@10") == Metric(name="ndcg", k=10)
    assert str(Metric(name="mrr", k=5)) == "mrr@5"


@pytest.mark.parametrize(
    "text",
    ["", "ndcg", "NDCG@10", "ndcg@0", "ndcg@01", "ndcg@-1", "ndcg@10 ", "bleu@4", "ndcg@10\n", "ndcg@٣"],
)
def test_other_spellings_are_none(text: str) -> None:
    assert parse_metric(text) is None


def test_every_metric_has_one_kind_and_traits() -> None:
    assert [traits.name for traits in metrics_of("Embedding")] == list(METRIC_NAMES)
    names = [traits.name for traits in metrics_of("LLM")]
    assert names[:4] == ["loss", "perplexity", "exact_match", "token_f1"]
    assert set(METRICS) == {*METRIC_NAMES, *names}


@pytest.mark.parametrize("text", ["ndcg", "loss@1", "bleu", ""])
def test_what_is_no_metric_has_no_traits(text: str) -> None:
    assert metric_traits(text) is None


def test_direction_and_needs() -> None:
    assert not higher_is_better("loss")
    assert not higher_is_better("perplexity")
    assert higher_is_better("ndcg@10")
    assert higher_is_better("token_f1")
    assert not needs_generation(["loss", "perplexity"])
    assert needs_generation(["loss", "exact_match"])
