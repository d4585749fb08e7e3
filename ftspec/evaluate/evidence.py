"""What an evaluation found: the summary for people and gates, and the values per query behind it."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SUMMARY_VERSION = "1.0"
DIGITS = 8  # of values in summary.json; the last bits of a float64 depend on the number of threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over queries with its two-sided bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric of the base and the tuned model over the same queries. `gain` is tuned minus base.

    `p_value` is two-sided; `p_adjusted` is Holm's over the slices of this metric, None outside slices.
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


def _named(metrics: tuple[MetricSummary, ...], name: str) -> MetricSummary:
    return next(metric for metric in metrics if metric.metric == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSummary:
    column: str
    value: str
    queries: int
    metrics: tuple[MetricSummary, ...]

    def metric(self, name: str) -> MetricSummary:
        return _named(self.metrics, name)


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
class Summary:
    """The content of summary.json. `metrics[0]` is not always primary: ask `primary_metric`."""

    primary: str
    queries: int
    documents: int
    top_k: int
    confidence: float
    resamples: int
    seed: int
    metrics: tuple[MetricSummary, ...]
    slices: tuple[SliceSummary, ...]
    dimensions: tuple[DimensionSummary, ...]  # full width first; metrics there equal `metrics`
    base_latency: Latency | None
    tuned_latency: Latency | None
    improvements: tuple[Example, ...]
    regressions: tuple[Example, ...]
    format_version: str = SUMMARY_VERSION

    @property
    def primary_metric(self) -> MetricSummary:
        return self.metric(self.primary)

    def metric(self, name: str) -> MetricSummary:
        return _named(self.metrics, name)


def means(summary: Summary) -> dict[str, dict[str, float]]:
    """{"base": {metric: mean}, "tuned": {metric: mean}}, at full width."""
    return {
        "base": {metric.metric: metric.base.mean for metric in summary.metrics},
        "tuned": {metric.metric: metric.tuned.mean for metric in summary.metrics},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryScores:
    """Values per query at full width, `base` and `tuned` in the order of `query_ids`."""

    query_ids: tuple[str, ...]
    base: dict[str, tuple[float, ...]]
    tuned: dict[str, tuple[float, ...]]

    def table(self, metric: str) -> "Floats":
        """[queries, 3]: base, tuned, gain."""
        import numpy as np

        base, tuned = np.asarray(self.base[metric]), np.asarray(self.tuned[metric])
        return np.column_stack([base, tuned, tuned - base])


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
    full = summary.dimensions[0].dimension if summary.dimensions else None
    values: dict[str, dict[str, dict[str, float]]] = {"base": {}, "tuned": {}}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["dimension"] == full:
                    values[row["variant"]].setdefault(row["metric"], {})[row["query_id"]] = row["value"]
        query_ids = tuple(values["base"][summary.primary])
        scores = {
            variant: {metric: tuple(by_id[id] for id in query_ids) for metric, by_id in table.items()}
            for variant, table in values.items()
        }
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
