"""Do the results reach what the spec asks? Passed, failed, or cannot be told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.compare import estimates, interval_seed, pairs
from ftspec.evaluate.evidence import Evidence, Latency, Summary, plural
from ftspec.plan.metrics import DEFAULT_CONFIDENCE, LATENCY
from ftspec.plan.model import Bootstrap, Gate, Plan


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """One bound on one metric. `interval` is None where the bound was asked of the value itself."""

    metric: str
    bound: str  # min | max | min_gain | p50_max | p95_max
    limit: float
    confidence: float | None
    value: float | None  # None: not measured
    interval: tuple[float, float] | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Failed if any gate failed, else inconclusive if any is, else passed."""

    verdict: Outcome
    gates: tuple[GateResult, ...]


def judge(plan: Plan, evidence: Evidence) -> Verdict:
    """Hold the evidence against every bound of every gate, in the order of the plan.

    A bound with a confidence is asked of the two-sided bootstrap interval of that confidence: it is
    passed only when the whole interval lies on the right side, failed when the whole interval lies on
    the wrong one, and inconclusive when the limit lies inside. Latency is the tuned model's.
    """
    assert plan.gates, "resolve gives every plan a gate"
    bootstrap = plan.evaluation.bootstrap
    results = tuple(
        result
        for metric, gate in plan.gates.items()
        for result in (
            _judge_latency(gate, evidence.summary.tuned_latency)
            if metric == LATENCY
            else _judge_metric(metric, gate, evidence, bootstrap)
        )
    )
    outcomes = {result.outcome for result in results}
    if Outcome.FAILED in outcomes:
        overall = Outcome.FAILED
    elif Outcome.INCONCLUSIVE in outcomes:
        overall = Outcome.INCONCLUSIVE
    else:
        overall = Outcome.PASSED
    return Verdict(verdict=overall, gates=results)


def _judge_metric(metric: str, gate: Gate, evidence: Evidence, bootstrap: Bootstrap) -> Iterator[GateResult]:
    summary = evidence.summary.find(metric)
    for bound, limit in (("min", gate.min), ("max", gate.max), ("min_gain", gate.min_gain)):
        if limit is None:
            continue
        if summary is None:
            yield _not_measured(metric, bound, limit, gate.confidence, evidence.summary)
            continue
        is_gain = bound == "min_gain"
        value = summary.gain.mean if is_gain else summary.tuned.mean
        confidence = gate.confidence or (DEFAULT_CONFIDENCE if is_gain else None)
        interval = None if confidence is None else _interval(metric, evidence, bootstrap, confidence, is_gain)
        identical = summary.wins == summary.losses == 0
        if is_gain:
            assert interval is not None
            outcome, reason = _judge_gain(
                limit, interval, summary.gain.mean, identical, evidence.summary.noun
            )
        else:
            outcome, reason = _judge_level(bound, limit, value, interval)
        yield GateResult(
            metric=metric,
            bound=bound,
            limit=limit,
            confidence=confidence,
            value=value,
            interval=interval,
            outcome=outcome,
            reason=reason,
        )


def _not_measured(
    metric: str, bound: str, limit: float, confidence: float | None, summary: Summary
) -> GateResult:
    """What no held-out row defines can be neither reached nor missed."""
    reasons = () if summary.text is None else summary.text.unmeasured
    why = next((each.reason for each in reasons if each.metric == metric), "no held-out row defines it")
    return GateResult(
        metric=metric,
        bound=bound,
        limit=limit,
        confidence=confidence,
        value=None,
        interval=None,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"was not measured: {why}",
    )


def _judge_gain(
    limit: float, interval: tuple[float, float], gain: float, identical: bool, noun: str
) -> tuple[Outcome, str]:
    """The gain must lie above the limit: a model that equals its baseline did not beat it.

    Where lower is better, the gain is what the value fell by, so a limit reads the same for all metrics.
    """
    low, high = interval
    asked = "0" if limit == 0 else f"{limit:+g}"
    shown = f"the gain is {gain:+.4f}, its interval [{low:+.4f}, {high:+.4f}]"
    if low > limit:
        return Outcome.PASSED, f"{shown} lies above {asked}"
    if identical:
        return (
            Outcome.FAILED,
            f"no {noun} is answered better or worse than by the baseline; {asked} is asked",
        )
    if high <= limit:
        return Outcome.FAILED, f"{shown} does not reach above {asked}"
    return Outcome.INCONCLUSIVE, f"{shown} holds {asked}: more held-out {plural(noun)} would decide"


def _judge_level(
    bound: str, limit: float, value: float, interval: tuple[float, float] | None
) -> tuple[Outcome, str]:
    is_min = bound == "min"
    side = "at least" if is_min else "at most"
    if interval is None:
        reached = value >= limit if is_min else value <= limit
        outcome = Outcome.PASSED if reached else Outcome.FAILED
        return outcome, f"the tuned model has {value:.4f}; {side} {limit:g} is asked"
    low, high = interval
    shown = f"the tuned model has {value:.4f} [{low:.4f}, {high:.4f}]; {side} {limit:g} is asked"
    if low >= limit if is_min else high <= limit:
        return Outcome.PASSED, shown
    if high < limit if is_min else low > limit:
        return Outcome.FAILED, shown
    return Outcome.INCONCLUSIVE, f"{shown}, which lies inside the interval"


def _judge_latency(gate: Gate, latency: Latency | None) -> Iterator[GateResult]:
    for bound, limit in (("p50_max", gate.p50_max), ("p95_max", gate.p95_max)):
        if limit is None:
            continue
        name = bound.removesuffix("_max")
        if latency is None:
            value, outcome = None, Outcome.INCONCLUSIVE
            reason = "latency was not measured: `evaluation.latency_queries` is 0"
        else:
            value = latency.p50_ms if name == "p50" else latency.p95_ms
            outcome = Outcome.PASSED if value <= limit else Outcome.FAILED
            reason = f"{name} of the tuned model is {value:.2f} ms; at most {limit:g} ms is asked"
        yield GateResult(
            metric=LATENCY,
            bound=bound,
            limit=limit,
            confidence=None,
            value=value,
            interval=None,
            outcome=outcome,
            reason=reason,
        )


def _interval(
    metric: str, evidence: Evidence, bootstrap: Bootstrap, confidence: float, is_gain: bool
) -> tuple[float, float]:
    """Interval of the tuned mean, or of the gain. Same draws as in the summary, so that the same
    confidence gives the same numbers."""
    scores = evidence.scores
    ((_, tuned, gain),) = estimates(
        [pairs(metric, scores.base[metric], scores.tuned[metric])],
        resamples=bootstrap.resamples,
        confidence=confidence,
        seed=interval_seed(bootstrap, "all"),
    )
    estimate = gain if is_gain else tuned
    return estimate.low, estimate.high


@cache
def _adapter() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON values."""
    document: dict[str, Any] = _adapter().dump_python(verdict, mode="json")
    return document


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write verdict.json, the only file of a gate artefact."""
    text = json.dumps(verdict_document(verdict), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "verdict.json").write_text(text + "\n", encoding="utf-8")


def read_verdict(folder: Path) -> Verdict:
    """verdict.json of a gate artefact. Raises FtspecError when it is missing or damaged."""
    path = folder / "verdict.json"
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise FtspecError(
            Diagnostic(
                code=codes.ARTIFACT_DAMAGED,
                detail=f"{folder.name}/verdict.json: {type(error).__name__}",
                help="`ftspec apply` of the spec makes it again",
            )
        ) from error
