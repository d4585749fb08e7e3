"""Properties of the paired tests."""

import numpy as np
import pytest
from scipy import stats

from ftspec.evaluate.significance import (
    bootstrap_intervals,
    holm,
    permutation_p_values,
    wins_ties_losses,
)


def p_value(gains: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> float:
    (p,) = permutation_p_values(gains[:, None], resamples=resamples, seed=seed)
    return p


def interval(values: np.ndarray, *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    (found,) = bootstrap_intervals(values[:, None], resamples=4000, confidence=confidence, seed=seed)
    return found


def test_exact_for_few_queries() -> None:
    # All 2^3 patterns; only +++ and --- reach |sum| = 6.
    assert p_value(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    # Zeros change nothing.
    assert p_value(np.array([1.0, 0.0, 2.0, 0.0, 3.0])) == pytest.approx(2 / 8)


def test_exact_equals_scipy() -> None:
    gains = np.random.default_rng(3).normal(0.3, 1, size=10)
    expected = stats.permutation_test(
        (gains,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True
    ).pvalue
    assert p_value(gains) == pytest.approx(expected)


def test_drawn_agrees_with_exact() -> None:
    gains = np.random.default_rng(4).normal(0.4, 1, size=12)
    exact = p_value(gains, resamples=2**12)
    drawn = p_value(gains, resamples=2**12 - 1)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.03)


def test_all_ties() -> None:
    assert p_value(np.zeros(500)) == 1
    assert p_value(np.zeros(3)) == 1
    assert interval(np.zeros(500)) == (0, 0)
    assert interval(np.full(500, 0.1)) == (0.1, 0.1)


def test_p_is_never_zero() -> None:
    assert p_value(np.ones(200), resamples=999) == pytest.approx(1 / 1000)


def test_p_is_roughly_uniform_under_the_null() -> None:
    random = np.random.default_rng(5)
    gains = random.choice([-0.5, -0.1, 0.0, 0.2, 0.4], size=(60, 400)) * random.choice(
        [-1, 1], size=(60, 400)
    )
    p = np.array(permutation_p_values(gains, resamples=400, seed=1))
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.08)


def test_p_and_interval_are_symmetric() -> None:
    gains = np.random.default_rng(6).normal(0.1, 0.3, size=80)
    assert p_value(gains) == p_value(-gains)
    low, high = interval(gains)
    mirrored = interval(-gains)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)


def test_p_falls_with_the_gain() -> None:
    noise = np.random.default_rng(7).normal(0, 0.25, size=200)
    noise -= noise.mean()
    p = [p_value(noise + gain) for gain in (0.01, 0.04, 0.2)]
    assert p[0] >= p[1] >= p[2]


def test_interval_covers_the_true_mean() -> None:
    random = np.random.default_rng(8)
    covered = 0
    for trial in range(200):
        low, high = interval(random.normal(0.5, 1, size=60), seed=trial)
        covered += low <= 0.5 <= high
    assert covered / 200 == pytest.approx(0.94, abs=0.05)


def test_a_higher_confidence_is_wider() -> None:
    values = np.random.default_rng(9).normal(size=100)
    narrow, wide = interval(values, confidence=0.8), interval(values, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_columns_do_not_depend_on_each_other() -> None:
    values = np.random.default_rng(10).normal(size=(50, 3))
    together = bootstrap_intervals(values, resamples=500, confidence=0.95, seed=2)
    alone = bootstrap_intervals(values[:, 1:2], resamples=500, confidence=0.95, seed=2)
    assert together[1] == pytest.approx(alone[0], abs=1e-12)
    p_together = permutation_p_values(values, resamples=500, seed=2)
    assert p_together[1:2] == permutation_p_values(values[:, 1:2], resamples=500, seed=2)


def test_one_query() -> None:
    assert interval(np.array([0.3])) == (0.3, 0.3)
    assert p_value(np.array([0.3])) == 1


def test_wins_ties_losses() -> None:
    found = wins_ties_losses([0.1, 0.0, -0.2, 1e-16, 0.3])
    assert (found.wins, found.ties, found.losses) == (2, 2, 1)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.6, 0.9]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()
