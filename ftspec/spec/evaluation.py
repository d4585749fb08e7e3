"""`evaluation` and `gates`: how the result is measured, and what it must reach."""

from typing import Annotated

from pydantic import Field

from ftspec.spec.base import Section

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Bootstrap(Section):
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Resamples of the bootstrap interval and of the permutation test."""
    confidence: Share = 0.95
    """Of the two-sided interval."""
    seed: int = 7
    """Makes the interval repeatable."""


class Evaluation(Section):
    metrics: Annotated[list[str], Field(min_length=1)] = Field(
        default_factory=lambda: ["ndcg@10", "recall@1", "recall@5", "recall@10", "mrr@10"]
    )
    """The first one is the primary metric: the verdict speaks of it."""
    top_k: Count = 100
    """Depth of the rankings; no metric may look further."""
    slices: list[str] = Field(default_factory=list)
    """Columns to report results by, e.g. `[group]`."""
    baseline: str = "base"
    """`base`, or the id or path of another model to beat."""
    bootstrap: Bootstrap = Bootstrap()
    """Interval and significance."""
    latency_queries: Annotated[int, Field(ge=0)] = 100
    """Queries that are encoded one by one to measure latency; 0 measures nothing."""


class Gate(Section):
    """Bounds on one metric. Where no gate asks for a gain, the primary metric must beat the baseline."""

    min: float | None = None
    """Lower bound of the tuned model's value."""
    max: float | None = None
    """Upper bound of the tuned model's value."""
    min_gain: float | None = None
    """The gain over the baseline must lie above this."""
    confidence: Share | None = None
    """Ask it of the interval's bound instead of the mean; default 0.95 for `min_gain`."""
    p50_max: Annotated[float, Field(gt=0)] | None = None
    """Median, `latency_ms` only."""
    p95_max: Annotated[float, Field(gt=0)] | None = None
    """95th percentile, `latency_ms` only."""
