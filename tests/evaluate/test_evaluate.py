"""Embeddings in, evidence out."""

import json
from pathlib import Path

import numpy as np
import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import Evidence, read_evidence, read_summary
from ftspec.evaluate.retrieval import read_test_set
from ftspec.plan.embedding import EmbeddingPlan
from tests.example_evidence import (
    WIDTH,
    example_plan,
    with_similarity,
    write_encoding,
    write_lines,
    write_split,
)


def run(folder: Path, plan: EmbeddingPlan, *, base: float = 2.5, tuned: float = 1.0) -> Evidence:
    split = write_split(folder / "split")
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    return evaluate(
        plan,
        split,
        write_encoding(folder / "base", noise=base),
        write_encoding(folder / "tuned", noise=tuned),
        out,
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_better_model_is_seen_as_better(tmp_path: Path) -> None:
    metric = run(tmp_path, example_plan()).summary.primary_metric
    assert metric.gain.mean == pytest.approx(metric.tuned.mean - metric.base.mean, abs=1e-7)
    assert 0 < metric.gain.low < metric.gain.mean < metric.gain.high
    assert metric.p_value < 0.05
    assert metric.wins > metric.losses
    assert metric.wins + metric.ties + metric.losses == 40


def test_the_same_model_ties_everywhere(tmp_path: Path) -> None:
    summary = run(tmp_path, example_plan(), base=1.0, tuned=1.0).summary
    for metric in summary.metrics:
        assert (metric.gain.mean, metric.gain.low, metric.gain.high, metric.p_value) == (0, 0, 0, 1)
        assert metric.ties == 40
    assert summary.improvements == summary.regressions == ()


def test_means_are_the_means_of_the_scores(tmp_path: Path) -> None:
    evidence = run(tmp_path, example_plan())
    rows = lines(tmp_path / "out" / "scores.jsonl")
    assert len(rows) == 2 * 40 * 2
    for metric in evidence.summary.metrics:
        for variant, estimate in (("base", metric.base), ("tuned", metric.tuned)):
            values = [
                row["value"] for row in rows if (row["variant"], row["metric"]) == (variant, metric.metric)
            ]
            assert np.mean(values) == pytest.approx(estimate.mean, abs=1e-7)
    assert rows[0]["slices"] == {"group": "a"}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    plan = example_plan(slices=("group",), dimensions=(WIDTH, 4))
    run(tmp_path / "a", plan)
    run(tmp_path / "b", plan)
    for name in ("scores.jsonl", "summary.json", "rankings.jsonl"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    evidence = run(tmp_path, example_plan(slices=("group",), dimensions=(WIDTH, 4)))
    assert read_evidence(tmp_path / "out") == evidence


def test_slices_are_corrected_for_their_number(tmp_path: Path) -> None:
    summary = run(tmp_path, example_plan(slices=("group",))).summary
    assert [(part.value, part.queries) for part in summary.slices] == [("b", 20), ("a", 10), ("c", 10)]
    for part in summary.slices:
        for metric in part.metrics:
            assert metric.p_adjusted is not None
            assert metric.p_adjusted >= metric.p_value
    total = sum(part.metrics[0].tuned.mean * part.queries for part in summary.slices) / 40
    assert total == pytest.approx(summary.primary_metric.tuned.mean, abs=1e-6)


def test_queries_without_a_slice_value_stand_in_no_slice(tmp_path: Path) -> None:
    assert run(tmp_path, example_plan(slices=("missing",))).summary.slices == ()


def test_dimensions(tmp_path: Path) -> None:
    summary = run(tmp_path, example_plan(dimensions=(WIDTH, 4))).summary
    assert [part.dimension for part in summary.dimensions] == [WIDTH, 4]
    assert summary.dimensions[0].metrics == summary.metrics
    assert summary.dimensions[1].metrics[0].tuned.mean < summary.metrics[0].tuned.mean
    assert {row["dimension"] for row in lines(tmp_path / "out" / "scores.jsonl")} == {WIDTH, 4}


def test_dot_products_are_not_normalised(tmp_path: Path) -> None:
    cosine = run(tmp_path, example_plan(dimensions=(WIDTH, 4)))
    dot = run(tmp_path, with_similarity(example_plan(dimensions=(WIDTH, 4)), "dot"))
    assert cosine.summary.metrics == dot.summary.metrics  # the vectors have length 1 already
    assert cosine.summary.dimensions[1] != dot.summary.dimensions[1]


def test_rankings_keep_ten_documents_in_order(tmp_path: Path) -> None:
    run(tmp_path, example_plan())
    rows = lines(tmp_path / "out" / "rankings.jsonl")
    assert [row["variant"] for row in rows] == ["base"] * 40 + ["tuned"] * 40
    for row in rows:
        assert len(row["documents"]) == len(row["scores"]) == 10
        assert row["scores"] == sorted(row["scores"], reverse=True)


def test_examples_show_the_biggest_moves(tmp_path: Path) -> None:
    summary = run(tmp_path, example_plan()).summary
    gains = [example.tuned - example.base for example in summary.improvements]
    assert len(gains) == 3
    assert gains == sorted(gains, reverse=True)
    best = summary.improvements[0]
    assert best.relevant == (best.query_id.replace("q", "d"),)
    assert len(best.tuned_top) == len(best.base_top) == 3
    assert all(example.tuned < example.base for example in summary.regressions)


def test_latency(tmp_path: Path) -> None:
    summary = run(tmp_path, example_plan()).summary
    assert summary.tuned_latency is not None
    assert (summary.tuned_latency.mean_ms, summary.tuned_latency.p50_ms) == (2.5, 2.5)
    assert summary.tuned_latency.p95_ms == pytest.approx(3.85)
    write_encoding(tmp_path / "base", noise=1, latency=())
    (tmp_path / "tuned/latency.json").unlink()
    again = evaluate(
        example_plan(), tmp_path / "split", tmp_path / "base", tmp_path / "tuned", tmp_path / "out"
    )
    assert again.summary.base_latency is again.summary.tuned_latency is None


def test_a_query_that_is_a_document_does_not_answer_itself(tmp_path: Path) -> None:
    split = tmp_path / "split"
    texts = [{"id": f"t{i}", "text": "twin" if i < 2 else f"text {i}"} for i in range(6)]
    write_lines(split / "test/queries.jsonl", texts)
    write_lines(split / "test/corpus.jsonl", texts)
    qrels = [
        {"query_id": f"t{i}", "document_id": f"t{j}", "grade": 1}
        for i in range(6)
        for j in range(6)
        if i % 2 == j % 2 and i != j
    ]
    write_lines(split / "test/qrels.jsonl", qrels)
    (split / "report.json").write_text("{}")
    assert read_test_set(split).exclude is None
    (split / "report.json").write_text('{"exclude_self": true}')
    test = read_test_set(split)
    assert test.exclude is not None
    assert test.exclude[0] == {"t0", "t1"}  # the twin has the same text
    assert test.exclude[2] == {"t2"}
    assert set(test.judgements["t0"]) == {"t2", "t4"}


@pytest.mark.parametrize("name", ["summary.json", "scores.jsonl"])
@pytest.mark.parametrize("damage", ["", "{}\n", "not json\n", None])
def test_damaged_evidence_is_named(tmp_path: Path, name: str, damage: str | None) -> None:
    run(tmp_path, example_plan())
    path = tmp_path / "out" / name
    path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(FtspecError, match="FTS612"):
        read_evidence(tmp_path / "out")


def test_read_summary(tmp_path: Path) -> None:
    evidence = run(tmp_path, example_plan())
    assert read_summary(tmp_path / "out") == evidence.summary
    assert next(iter(json.loads((tmp_path / "out/summary.json").read_text()))) == "format_version"
