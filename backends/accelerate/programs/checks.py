"""Judgements about a run: a loss that is no number or that rises, embeddings that collapse."""

import math
import random
from collections.abc import Sequence

import numpy as np
from events import CheckFailedError, StageEvents
from scipy import stats

MIN_STEPS = 8  # fewer have no quarters worth comparing
RISE_SIGNIFICANCE = 0.01  # one-sided; losses of single batches scatter, and a rise must exceed that
SAMPLE = 256  # documents whose mean cosine is taken


def check_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise CheckFailedError("FTS607", f"the loss of step {step} is {loss}")


def quarters(losses: Sequence[float]) -> tuple[Sequence[float], Sequence[float]] | None:
    """Losses of the first and of the last quarter of the steps; None for less than MIN_STEPS."""
    size = len(losses) // 4
    return (losses[:size], losses[-size:]) if len(losses) >= MIN_STEPS else None


def quarter_means(losses: Sequence[float]) -> tuple[float, float] | None:
    parts = quarters(losses)
    return None if parts is None else (float(np.mean(parts[0])), float(np.mean(parts[1])))


def rise_p_value(first: Sequence[float], last: Sequence[float]) -> float:
    """How probable such a rise is by chance alone: Welch's t-test, one-sided (Welch 1947)."""
    if np.ptp(first) == np.ptp(last) == 0:  # no scatter, no chance
        return 0.0 if last[0] > first[0] else 1.0
    return float(stats.ttest_ind(last, first, equal_var=False, alternative="greater").pvalue)


def judge_losses(losses: Sequence[float], mode: str, events: StageEvents) -> str:
    """`passed`, `warned`, `off`, or `too few steps`. Raises CheckFailedError under mode `fail`."""
    parts = quarters(losses)
    if mode == "off" or parts is None:
        return "off" if mode == "off" else "too few steps"
    first, last = parts
    p_value = rise_p_value(first, last)
    if p_value >= RISE_SIGNIFICANCE:
        return "passed"
    detail = (
        f"mean loss {np.mean(first):.4f} in the first quarter of the steps, {np.mean(last):.4f} in the last; "
        f"by chance p = {p_value:.2g}"
    )
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
