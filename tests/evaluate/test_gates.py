"""Every branch of every kind of gate."""

from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.evaluate.evidence import (
    Estimate,
    Evidence,
    Latency,
    MetricSummary,
    QueryScores,
    Summary,
)
from ftspec.evaluate.gates import (
    GateResult,
    Outcome,
    judge,
    read_verdict,
    verdict_document,
    write_verdict,
)
from ftspec.evaluate.significance import wins_ties_losses
from ftspec.plan.model import Gate
from tests.example_evidence import example_plan

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


def evidence(
    base: list[float], tuned: list[float], *, latency: tuple[float, float] | None = None
) -> Evidence:
    gains = [after - before for before, after in zip(base, tuned, strict=True)]
    count = wins_ties_losses(gains)

    def estimate(values: list[float]) -> Estimate:
        mean = sum(values) / len(values)
        return Estimate(mean=mean, low=mean, high=mean)

    metric = MetricSummary(
        metric="ndcg@10",
        base=estimate(base),
        tuned=estimate(tuned),
        gain=estimate(gains),
        p_value=1.0,
        wins=count.wins,
        ties=count.ties,
        losses=count.losses,
    )
    summary = Summary(
        primary="ndcg@10",
        queries=len(base),
        documents=9,
        top_k=10,
        confidence=0.95,
        resamples=500,
        seed=7,
        metrics=(metric,),
        slices=(),
        dimensions=(),
        base_latency=None,
        tuned_latency=None
        if latency is None
        else Latency(queries=9, mean_ms=5.0, p50_ms=latency[0], p95_ms=latency[1], device="cpu", threads=1),
        improvements=(),
        regressions=(),
    )
    ids = tuple(str(place) for place in range(len(base)))
    return Evidence(
        summary=summary,
        scores=QueryScores(query_ids=ids, base={"ndcg@10": tuple(base)}, tuned={"ndcg@10": tuple(tuned)}),
    )


BASE = [0.2, 0.4, 0.6, 0.8] * 25
BETTER = [value + 0.1 for value in BASE]
WORSE = [value - 0.1 for value in BASE]
MIXED = [value + (0.1 if place % 2 else -0.1) for place, value in enumerate(BASE)]


def one(
    gate: Gate, tuned: list[float], *, metric: str = "ndcg@10", latency: tuple[float, float] | None = None
) -> GateResult:
    verdict = judge(example_plan(gates={metric: gate}), evidence(BASE, tuned, latency=latency))
    (result,) = verdict.gates
    assert verdict.verdict is result.outcome
    assert result.reason
    return result


@pytest.mark.parametrize(
    ("tuned", "limit", "outcome"),
    [
        (BETTER, 0.0, PASSED),
        (BETTER, 0.05, PASSED),
        (BETTER, 0.2, FAILED),
        (WORSE, 0.0, FAILED),
        (WORSE, -0.2, PASSED),  # allowed to lose a little
        (MIXED, 0.0, INCONCLUSIVE),
        (MIXED, -0.05, PASSED),
        (MIXED, 0.05, FAILED),
        (BASE, 0.0, FAILED),  # the same model is not better
        (BASE, -0.01, PASSED),
    ],
)
def test_min_gain(tuned: list[float], limit: float, outcome: Outcome) -> None:
    result = one(Gate(min_gain=limit), tuned)
    assert result.outcome is outcome
    assert result.confidence == 0.95
    assert result.interval is not None


def test_an_identical_model_is_told_so() -> None:
    result = one(Gate(min_gain=0.0, confidence=0.9), BASE)
    assert "no query is answered better or worse" in result.reason
    assert (result.value, result.interval) == (0, (0, 0))


def test_min_gain_asks_the_interval_of_its_own_confidence() -> None:
    slightly = [value + (0.1 if place % 20 < 12 else -0.1) for place, value in enumerate(BASE)]
    assert one(Gate(min_gain=0.0, confidence=0.8), slightly).outcome is PASSED
    assert one(Gate(min_gain=0.0, confidence=0.999), slightly).outcome is INCONCLUSIVE


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        (Gate(min=0.5), PASSED),
        (Gate(min=0.51), FAILED),
        (Gate(max=0.6), PASSED),
        (Gate(max=0.49), FAILED),
        (Gate(min=0.4, confidence=0.95), PASSED),
        (Gate(min=0.49, confidence=0.95), INCONCLUSIVE),
        (Gate(min=0.6, confidence=0.95), FAILED),
        (Gate(max=0.6, confidence=0.95), PASSED),
        (Gate(max=0.51, confidence=0.95), INCONCLUSIVE),
        (Gate(max=0.4, confidence=0.95), FAILED),
    ],
)
def test_levels(gate: Gate, outcome: Outcome) -> None:
    result = one(gate, [round(value, 3) for value in BASE])
    assert result.outcome is outcome
    assert (result.interval is None) == (gate.confidence is None)


@pytest.mark.parametrize(
    ("gate", "latency", "outcome"),
    [
        (Gate(p50_max=5.0), (5.0, 20.0), PASSED),
        (Gate(p50_max=4.0), (5.0, 20.0), FAILED),
        (Gate(p95_max=20.0), (5.0, 20.0), PASSED),
        (Gate(p95_max=10.0), (5.0, 20.0), FAILED),
        (Gate(p95_max=10.0), None, INCONCLUSIVE),
    ],
)
def test_latency(gate: Gate, latency: tuple[float, float] | None, outcome: Outcome) -> None:
    assert one(gate, BETTER, metric="latency_ms", latency=latency).outcome is outcome


@pytest.mark.parametrize(
    ("gates", "tuned", "outcome"),
    [
        ({"ndcg@10": Gate(min=0.1, min_gain=0.0)}, BETTER, PASSED),
        ({"ndcg@10": Gate(min=0.1, min_gain=0.0)}, MIXED, INCONCLUSIVE),
        ({"ndcg@10": Gate(min=0.9, min_gain=0.0)}, MIXED, FAILED),  # failed weighs more
        ({"ndcg@10": Gate(min_gain=0.0), "latency_ms": Gate(p95_max=1.0)}, BETTER, FAILED),
        ({"ndcg@10": Gate(min_gain=0.0), "latency_ms": Gate(p50_max=9.0, p95_max=99.0)}, BETTER, PASSED),
    ],
)
def test_overall(gates: dict[str, Gate], tuned: list[float], outcome: Outcome) -> None:
    verdict = judge(example_plan(gates=gates), evidence(BASE, tuned, latency=(5.0, 20.0)))
    assert verdict.verdict is outcome
    assert len(verdict.gates) == 2 + (gates.get("latency_ms", Gate()).p50_max is not None)


def test_a_plan_without_gates_is_our_fault() -> None:
    with pytest.raises(AssertionError):
        judge(example_plan(gates={}), evidence(BASE, BETTER))


def test_the_verdict_survives_the_file(tmp_path: Path) -> None:
    verdict = judge(example_plan(), evidence(BASE, MIXED))
    write_verdict(tmp_path, verdict)
    assert read_verdict(tmp_path) == verdict
    document = verdict_document(verdict)
    assert document["verdict"] == "inconclusive"
    assert set(document["gates"][0]) >= {"metric", "bound", "value", "interval", "outcome", "reason"}
    (tmp_path / "verdict.json").write_text("{")
    with pytest.raises(FtspecError):
        read_verdict(tmp_path)


def test_the_interval_is_that_of_the_summary(tmp_path: Path) -> None:
    from ftspec.evaluate.evaluate import evaluate
    from tests.example_evidence import write_encoding, write_split

    found = evaluate(
        example_plan(),
        write_split(tmp_path / "split"),
        write_encoding(tmp_path / "base", noise=2.0),
        write_encoding(tmp_path / "tuned", noise=1.5),
        tmp_path,
    )
    gain = found.summary.primary_metric.gain
    (result,) = judge(example_plan(), found).gates
    assert result.interval == pytest.approx((gain.low, gain.high), abs=1e-7)
    plan = example_plan(gates={"ndcg@10": Gate(min=0.0, confidence=0.95)})
    tuned = found.summary.primary_metric.tuned
    assert judge(plan, found).gates[0].interval == pytest.approx((tuned.low, tuned.high), abs=1e-7)
