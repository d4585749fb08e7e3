"""Judgements about the losses of a run: no number, rising, or diverged."""

import math
from collections.abc import Sequence

import numpy as np
from events import CheckFailedError, StageEvents
from scipy import stats

MIN_STEPS = 8  # fewer have no quarters worth comparing
RISE_SIGNIFICANCE = 0.01  # one-sided; losses of single batches scatter, and a rise must exceed that
DIVERGENCE_WINDOW = 5  # steps; the loss of a single batch scatters


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
    return judge("FTS608", detail, mode, events)


def divergence(losses: Sequence[float], factor: float) -> str | None:
    """What went wrong when the mean of the last DIVERGENCE_WINDOW losses is above `factor` times that of
    the first; None while it is not, or while the two windows overlap."""
    if len(losses) < 2 * DIVERGENCE_WINDOW:
        return None
    first = math.fsum(losses[:DIVERGENCE_WINDOW]) / DIVERGENCE_WINDOW
    last = math.fsum(losses[-DIVERGENCE_WINDOW:]) / DIVERGENCE_WINDOW
    if last <= factor * first:
        return None
    return (
        f"mean loss {last:.4f} in the {DIVERGENCE_WINDOW} steps up to step {len(losses)}, "
        f"{first:.4f} in the first {DIVERGENCE_WINDOW}; the bound is {factor:g} times"
    )


def judge(code: str, detail: str, mode: str, events: StageEvents) -> str:
    """The failed judgement: an error that ends the run under mode `fail`, else a warning."""
    if mode == "fail":
        raise CheckFailedError(code, detail)
    events.emit("warning", code=code, detail=detail)
    return "warned"
