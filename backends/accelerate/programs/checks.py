"""The judgement about a run's embeddings: whether they collapsed."""

import math
import random
from collections.abc import Sequence

import numpy as np
from events import StageEvents
from loss_checks import judge

SAMPLE = 256  # documents whose mean cosine is taken


def judge_spread(cosine: float, bound: float, mode: str, events: StageEvents) -> str:
    """`passed`, `warned` or `off`. Raises CheckFailedError under mode `fail`."""
    if mode == "off":
        return "off"
    if math.isfinite(cosine) and cosine <= bound:
        return "passed"
    detail = f"random documents have a mean cosine of {cosine:.3f}, the bound is {bound:g}"
    return judge("FTS609", detail, mode, events)


def sample_texts(texts: Sequence[str], seed: int = 0) -> list[str]:
    """At most SAMPLE distinct texts, drawn by the seed."""
    distinct = sorted(set(texts))
    return random.Random(seed).sample(distinct, min(SAMPLE, len(distinct)))  # noqa: S311 - no secret


def mean_cosine(embeddings: np.ndarray) -> float:
    """Mean cosine over all pairs of different rows, [n, width]; 0.0 when there is no pair.

    From the norm of the sum of unit vectors: |sum u|^2 = n + n (n - 1) mean.
    """
    count = len(embeddings)
    if count < 2:
        return 0.0
    rows = embeddings.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.maximum(norms, 1e-12)
    return float((np.square(units.sum(axis=0)).sum() - np.square(units).sum()) / (count * (count - 1)))
