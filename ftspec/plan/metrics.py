"""The names of ranking metrics: `ndcg@10` is a measure and a depth."""

import re
from dataclasses import dataclass

METRIC_NAMES = ("ndcg", "recall", "mrr", "success", "precision", "map")
LATENCY = "latency_ms"  # may be gated like a metric, but ranks nothing
DEFAULT_CONFIDENCE = 0.95  # of a gate on a gain, which always asks for an interval

_METRIC = re.compile(rf"({'|'.join(METRIC_NAMES)})@([1-9][0-9]{{0,6}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure over the first `k` documents of each ranking."""

    name: str
    k: int

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"


def parse_metric(text: str) -> Metric | None:
    """`ndcg@10` -> Metric(name="ndcg", k=10); None for anything else, also for other spellings."""
    match = _METRIC.fullmatch(text)
    return Metric(name=match[1], k=int(match[2])) if match else None
