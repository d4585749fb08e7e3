"""Ranking metrics on the validation split, exact, in numpy. The evidence is scored elsewhere."""

import math
import re
from collections.abc import Sequence

import numpy as np

_METRIC = re.compile(r"(ndcg|recall|mrr|success|precision|map)@([1-9][0-9]*)")
Grades = dict[int, int]  # position of a relevant document -> grade above 0


def split_metric(metric: str) -> tuple[str, int]:
    """`ndcg@10` -> ("ndcg", 10). Raises ValueError."""
    match = _METRIC.fullmatch(metric)
    if match is None:
        raise ValueError(f"unknown metric {metric!r}")
    return match[1], int(match[2])


def mean_metric(queries: np.ndarray, documents: np.ndarray, grades: Sequence[Grades], metric: str) -> float:
    """Mean over the queries that have a relevant document; embeddings are compared by dot product."""
    name, depth = split_metric(metric)
    values = []
    for start in range(0, len(queries), 256):
        scores = queries[start : start + 256] @ documents.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        for row, relevant in zip(order, grades[start : start + 256], strict=True):
            if relevant:
                values.append(score_ranking(name, [relevant.get(int(at), 0) for at in row], relevant, depth))
    return float(np.mean(values)) if values else math.nan


def score_ranking(name: str, gains: Sequence[int], relevant: Grades, depth: int) -> float:
    """One query's value; `gains` are the grades of the first `depth` documents, 0 for irrelevant ones.

    nDCG has linear gains and log2(rank + 1) discounts.
    """
    hits = [gain > 0 for gain in gains]
    match name:
        case "ndcg":
            ideal = sorted(relevant.values(), reverse=True)[:depth]
            return _dcg(gains) / _dcg(ideal)
        case "recall":
            return sum(hits) / len(relevant)
        case "precision":
            return sum(hits) / depth
        case "success":
            return float(any(hits))
        case "mrr":
            return next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0)
        case "map":
            found = [rank for rank, hit in enumerate(hits, 1) if hit]
            return sum(count / rank for count, rank in enumerate(found, 1)) / len(relevant)
    raise ValueError(f"unknown metric {name!r}")


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
