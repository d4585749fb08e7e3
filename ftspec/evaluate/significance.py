"""Is a difference between two models more than noise? Paired tests over the same queries.

A permutation test gives the p-value, a bootstrap the interval. Neither assumes a distribution of the
gains, which for retrieval metrics are bounded, discrete and full of zeros. Smucker, Allan and
Carterette (2007, CIKM) compare these tests for retrieval, and advise against Wilcoxon and sign tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TIE = 1e-12  # gains no larger than this are ties: sums of the same terms in another order
CHUNK = 2_000_000  # random numbers that are held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class WinsTiesLosses:
    wins: int
    ties: int
    losses: int


def permutation_p_values(gains: "Floats", *, resamples: int, seed: int) -> tuple[float, ...]:
    """Two-sided p-values of the columns of `gains` [queries, columns], under the sign-flip null.

    The null: the labels "base" and "tuned" of a query could be swapped, so every gain could as well
    have the other sign (Fisher 1935). The statistic is the mean gain. Where all sign patterns of the
    gains that are not 0 are no more than `resamples`, they are all enumerated, and p is exact. Else
    patterns are drawn, and p = (b + 1) / (m + 1) with b of m as extreme as observed: the observed
    pattern is one of the null's, and p is never 0 (Phipson and Smyth 2010).
    """
    import numpy as np

    assert gains.ndim == 2
    assert len(gains) > 0
    gains = np.where(np.abs(gains) <= TIE, 0.0, gains)
    values = np.empty(gains.shape[1])
    drawn: list[int] = []
    for column in range(gains.shape[1]):
        moved = gains[gains[:, column] != 0, column]
        if len(moved) < 63 and 2 ** len(moved) <= resamples:
            values[column] = _exact_p(moved)
        else:
            drawn.append(column)
    if drawn:
        values[drawn] = _drawn_p(gains[:, drawn], resamples, seed)
    return tuple(float(value) for value in values)


def _exact_p(gains: "Floats") -> float:
    import numpy as np

    sums = np.zeros(1)
    for gain in gains:
        sums = np.concatenate([sums + gain, sums - gain])
    return float(np.mean(np.abs(sums) >= _threshold(np.abs(gains.sum()))))


def _drawn_p(gains: "Floats", resamples: int, seed: int) -> "Floats":
    import numpy as np

    random = np.random.default_rng(seed)
    limit = _threshold(np.abs(gains.sum(axis=0)))
    extreme = np.zeros(gains.shape[1], dtype=np.int64)
    step = max(1, CHUNK // len(gains))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        signs = random.integers(0, 2, size=(count, len(gains)), dtype=np.int8).astype(np.float64) * 2 - 1
        extreme += (np.abs(signs @ gains) >= limit).sum(axis=0)
    p: Floats = (extreme + 1) / (resamples + 1)
    return p


def _threshold(observed: "Floats | np.float64") -> "Floats | np.float64":
    """Slightly below the observed statistic: equal sums in another order may differ in the last bits."""
    return observed * (1 - 1e-9) - TIE


def bootstrap_intervals(
    values: "Floats", *, resamples: int, confidence: float, seed: int
) -> tuple[tuple[float, float], ...]:
    """Two-sided percentile intervals of the means of the columns of `values` [queries, columns].

    Queries are drawn with replacement, and all columns see the same draw, so that the column of
    gains gives the interval of a paired difference (Efron and Tibshirani 1993, chapter 13).
    """
    mean, moves = resampled_means(values, resamples=resamples, seed=seed)
    return tuple(
        (float(mean[column] + low), float(mean[column] + high))
        for column, (low, high) in enumerate(percentiles(moves, confidence))
    )


def resampled_means(values: "Floats", *, resamples: int, seed: int) -> tuple["Floats", "Floats"]:
    """Means of the columns of `values`, [columns], and how far the mean of each resample lies from them,
    [resamples, columns]. A constant column does not move at all."""
    import numpy as np

    assert values.ndim == 2
    assert len(values) > 0
    number = len(values)
    mean: Floats = values.mean(axis=0)
    centred = values - mean
    random = np.random.default_rng(seed)
    moves = np.empty((resamples, values.shape[1]))
    step = max(1, CHUNK // number)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        draws = random.integers(0, number, size=(count, number))
        draws += np.arange(count)[:, None] * number
        times = np.bincount(draws.ravel(), minlength=count * number).reshape(count, number)
        moves[start : start + count] = times.astype(np.float64) @ centred / number
    return mean, moves


def percentiles(columns: "Floats", confidence: float) -> tuple[tuple[float, float], ...]:
    """For each column what leaves (1 - confidence) / 2 of its values below, and above."""
    import numpy as np

    assert 0 < confidence < 1
    tail = (1 - confidence) / 2
    low, high = np.quantile(columns, [tail, 1 - tail], axis=0)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def wins_ties_losses(gains: Sequence[float]) -> WinsTiesLosses:
    """Queries that the tuned model answers better, equally well, and worse."""
    wins = sum(gain > TIE for gain in gains)
    losses = sum(gain < -TIE for gain in gains)
    return WinsTiesLosses(wins=wins, ties=len(gains) - wins - losses, losses=losses)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values that bound the chance of one false finding in the family (Holm 1979).

    Step down: the i-th smallest of m (from 0) is multiplied by m - i, and never falls below an
    adjusted smaller one.
    """
    order = sorted(range(len(p_values)), key=lambda index: (p_values[index], index))
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = highest
    return tuple(adjusted)
