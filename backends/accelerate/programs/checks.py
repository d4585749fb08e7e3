"""Judgements about a run: a loss that is no number or that rises, embeddings that collapse."""

import math
import random
from collections.abc import Sequence

import numpy as np
from events import CheckFailedError, StageEvents

MIN_STEPS = 8  # fewer have no quarters worth comparing
SAMPLE = 256  # documents whose mean cosine is taken


def check_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise CheckFailedError("FTS607", f"the loss of step {step} is {loss}")


def quarters(losses: Sequence[float]) -> tuple[float, float] | None:
    """Mean loss of the first and of the last quarter of the steps; None for less than MIN_STEPS."""
    if len(losses) < MIN_STEPS:
        return None
    size = len(losses) // 4
    return float(np.mean(losses[:size])), float(np.mean(losses[-size:]))


def judge_losses(losses: Sequence[float], mode: str, events: StageEvents) -> str:
    """`passed`, `warned`, `off`, or `too few steps`. Raises CheckFailedError under mode `fail`."""
    means = quarters(losses)
    if mode == "off" or means is None:
        return "off" if mode == "off" else "too few steps"
    if means[1] <= means[0]:
        return "passed"
    detail = f"mean loss {means[0]:.4f} in the first quarter of the steps, {means[1]:.4f} in the last"
    return _judge("FTS608", detail, mode, events)


def judge_spread(cosine: float, bound: float, mode: str, events: StageEvents) -> str:
    """`passed`, `warned` or `off`. Raises CheckFailedError under mode `fail`."""
    if mode == "off":
        return "off"
    if math.isfinite(cosine) and cosine <= bound:
        return "passed"
    detail = f"random documents have a mean cosine of {cosine:.3f}, the bound is {bound:g}"
    return _judge("FTS609", detail, mode, events)


def _judge(code: str, detail: str, mode: str, events: StageEvents) -> str:
    if mode == "fail":
        raise CheckFailedError(code, detail)
    events.emit("warning", code=code, detail=detail)
    return "warned"


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
