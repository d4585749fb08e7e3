"""What an evaluation found: the summary for people and gates, and the values per query behind it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.lines import read_lines

SUMMARY_VERSION = "1.1"
NO_DIMENSION = 0  # in scores.jsonl, where nothing is embedded
DIGITS = 8  # of values in summary.json; the last bits of a float64 depend on the number of threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over held-out queries (rows of text) with its two-sided bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric of the base and the tuned model over the same queries. `gain` is the improvement: tuned
    minus base, or base minus tuned where lower is better.

    `p_value` is two-sided; `p_adjusted` is Holm's over the slices of this metric, None outside slices.
    `rows`: how many queries the metric is defined on; None in evidence of older versions: all of them.
    """

    metric: str
    base: Estimate
    tuned: Estimate
    gain: Estimate
    p_value: float
    wins: int
    ties: int
    losses: int
    p_adjusted: float | None = None
    rows: int | None = None


def _find(metrics: tuple[MetricSummary, ...], name: str) -> MetricSummary | None:
    return next((metric for metric in metrics if metric.metric == name), None)


def _named(metrics: tuple[MetricSummary, ...], name: str) -> MetricSummary:
    found = _find(metrics, name)
    assert found is not None, f"{name} was not measured"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSummary:
    """`metrics` lacks those that are defined on none of the slice's queries."""

    column: str
    value: str
    queries: int
    metrics: tuple[MetricSummary, ...]

    def metric(self, name: str) -> MetricSummary:
        return _named(self.metrics, name)

    def find(self, name: str) -> MetricSummary | None:
        return _find(self.metrics, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionSummary:
    """Both models cut to the first `dimension` components of their embeddings."""

    dimension: int
    metrics: tuple[MetricSummary, ...]

    def metric(self, name: str) -> MetricSummary:
        return _named(self.metrics, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds to encode one query, one by one."""

    queries: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    device: str
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query whose primary metric moved far; document ids best first."""

    query_id: str
    text: str
    base: float
    tuned: float
    relevant: tuple[str, ...]
    base_top: tuple[str, ...]
    tuned_top: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """A row whose primary metric moved far: the end of its prompt, the given answer, and what both models
    wrote (None: not asked to write). Texts are shortened."""

    row_id: str
    text: str
    base: float
    tuned: float
    expected: str
    base_answer: str | None
    tuned_answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A metric of the plan that no held-out row defines, and why."""

    metric: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScoring:
    """What was scored of an LLM. `generated`: rows that both models wrote an answer to."""

    scored_tokens: int  # that the loss is over, of all held-out rows
    generated: int
    unmeasured: tuple[Unmeasured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The content of summary.json. `metrics[0]` is not always primary: ask `primary_metric`.

    `queries` are the held-out queries; of an LLM (`text` is set) the held-out rows. There nothing is ranked
    or embedded: `documents` and `top_k` are None, `dimensions` is empty, and latency is not measured.
    """

    primary: str
    queries: int
    documents: int | None
    top_k: int | None
    confidence: float
    resamples: int
    seed: int
    metrics: tuple[MetricSummary, ...]
    slices: tuple[SliceSummary, ...]
    dimensions: tuple[DimensionSummary, ...]  # full width first; metrics there equal `metrics`
    base_latency: Latency | None
    tuned_latency: Latency | None
    improvements: tuple[Example | TextExample, ...]
    regressions: tuple[Example | TextExample, ...]
    text: TextScoring | None = None
    format_version: str = SUMMARY_VERSION

    @property
    def primary_metric(self) -> MetricSummary:
        return self.metric(self.primary)

    def metric(self, name: str) -> MetricSummary:
        return _named(self.metrics, name)

    def find(self, name: str) -> MetricSummary | None:
        """None for a metric that was not measured: see `text.unmeasured`."""
        return _find(self.metrics, name)

    @property
    def noun(self) -> str:
        """What was held out, in words: query | row."""
        return "query" if self.text is None else "row"


def plural(noun: str) -> str:
    return {"query": "queries", "row": "rows"}[noun]


def means(summary: Summary) -> dict[str, dict[str, float]]:
    """{"base": {metric: mean}, "tuned": {metric: mean}}, at full width."""
    return {
        "base": {metric.metric: metric.base.mean for metric in summary.metrics},
        "tuned": {metric.metric: metric.tuned.mean for metric in summary.metrics},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryScores:
    """Values per query at full width, `base` and `tuned` in the order of `query_ids`; None where a metric
    is not defined."""

    query_ids: tuple[str, ...]
    base: Mapping[str, tuple[float | None, ...]]
    tuned: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    summary: Summary
    scores: QueryScores


@cache
def _adapter() -> TypeAdapter[Summary]:
    return TypeAdapter(Summary)


def summary_document(summary: Summary) -> dict[str, Any]:
    """The summary as JSON values."""
    document: dict[str, Any] = _adapter().dump_python(summary, mode="json")
    return {"format_version": document.pop("format_version"), **document}


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json; the same summary gives the same bytes."""
    text = json.dumps(summary_document(summary), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def read_summary(folder: Path) -> Summary:
    """summary.json of an evaluate artefact. Raises FtspecError when it is missing or damaged."""
    path = folder / "summary.json"
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(path, error) from error


def read_evidence(folder: Path) -> Evidence:
    """The evidence that `evaluate` wrote into `folder`. Raises FtspecError when it is damaged."""
    summary = read_summary(folder)
    path = folder / "scores.jsonl"
    full = summary.dimensions[0].dimension if summary.dimensions else NO_DIMENSION
    values: dict[str, dict[str, dict[str, float]]] = {"base": {}, "tuned": {}}
    order: dict[str, None] = {}  # of the queries: lines go query by query
    try:
        for row in read_lines(path):
            if row["dimension"] == full:
                order[row["query_id"]] = None
                values[row["variant"]].setdefault(row["metric"], {})[row["query_id"]] = row["value"]
        query_ids = tuple(order)
        scores = {
            variant: {metric: tuple(by_id.get(id) for id in query_ids) for metric, by_id in table.items()}
            for variant, table in values.items()
        }
        for metric in summary.metrics:
            expected = len(query_ids) if metric.rows is None else metric.rows
            for table in scores.values():
                if sum(value is not None for value in table[metric.metric]) != expected:
                    raise ValueError(f"{metric.metric} lacks rows")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return Evidence(
        summary=summary,
        scores=QueryScores(query_ids=query_ids, base=scores["base"], tuned=scores["tuned"]),
    )


def _damaged(path: Path, error: Exception) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=codes.ARTIFACT_DAMAGED,
            detail=f"{path.parent.name}/{path.name}: {type(error).__name__}",
            help="`ftspec apply` of the spec makes it again",
        )
    )
