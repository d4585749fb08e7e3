"""Two models on the same held-out rows: means, intervals, p-values, wins and losses per metric.

The gain of a metric is the improvement: tuned minus base where higher is better, base minus tuned where
lower is. Rows on which a metric is not defined count for neither model.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftspec.evaluate.evidence import DIGITS, Estimate, MetricSummary, SliceSummary
from ftspec.evaluate.significance import (
    holm,
    percentiles,
    permutation_p_values,
    resampled_means,
    wins_ties_losses,
)
from ftspec.plan.metrics import higher_is_better
from ftspec.plan.model import Bootstrap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Values = Mapping[str, Sequence[float | None]]  # metric -> values by row; None: not defined on that row

# The mean of these is geometric: perplexity is exp(mean loss), and that of one row is exp(its loss).
# The logarithm of such a mean is a plain mean, so resampling works on logarithms.
GEOMETRIC = ("perplexity",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Values of both models on the rows on which a metric is defined, in the order of the rows."""

    metric: str
    base: "Floats"
    tuned: "Floats"


def pairs(metric: str, base: Sequence[float | None], tuned: Sequence[float | None]) -> Pairs:
    """Leaves out rows on which either model has no value."""
    import numpy as np

    both = [(a, b) for a, b in zip(base, tuned, strict=True) if a is not None and b is not None]
    table = np.array(both, dtype=np.float64).reshape(len(both), 2)
    return Pairs(metric=metric, base=table[:, 0], tuned=table[:, 1])


def interval_seed(bootstrap: Bootstrap, scope: str) -> int:
    """Seed of one scope (all rows, one slice): it does not depend on which others are computed."""
    return zlib.crc32(f"{bootstrap.seed}:{scope}".encode())


def gains(metric: str, base: "Floats", tuned: "Floats") -> "Floats":
    """Improvement by row. For a geometric mean that of the logarithms, whose mean decides."""
    import numpy as np

    if metric in GEOMETRIC:
        base, tuned = np.log(base), np.log(tuned)
    return tuned - base if higher_is_better(metric) else base - tuned


def estimates(
    compared: Sequence[Pairs], *, resamples: int, confidence: float, seed: int
) -> tuple[tuple[Estimate, Estimate, Estimate], ...]:
    """(base, tuned, gain) of each metric with its two-sided bootstrap interval.

    All metrics are defined on the same rows, at least one, and see the same resamples. The interval of a
    geometric mean, and of its gain, is taken over the means of the resamples, each transformed as the
    mean itself is: the gain of perplexity is exp(mean base loss) - exp(mean tuned loss), resample by
    resample.
    """
    import numpy as np

    count = len(compared)
    base = np.column_stack([_linear(each.metric, each.base) for each in compared])
    tuned = np.column_stack([_linear(each.metric, each.tuned) for each in compared])
    gain = np.column_stack([gains(each.metric, each.base, each.tuned) for each in compared])
    mean, moves = resampled_means(np.hstack([base, tuned, gain]), resamples=resamples, seed=seed)
    bounds = percentiles(moves, confidence)

    def linear(column: int) -> Estimate:
        low, high = bounds[column]
        return _estimate(mean[column], mean[column] + low, mean[column] + high)

    def geometric(place: int) -> tuple[Estimate, Estimate, Estimate]:
        columns = (place, count + place)
        sign = 1.0 if higher_is_better(compared[place].metric) else -1.0
        first, second = (np.exp(mean[column]) for column in columns)
        firsts, seconds = (np.exp(mean[column] + moves[:, column]) for column in columns)
        drawn = percentiles(np.column_stack([firsts, seconds, sign * (seconds - firsts)]), confidence)
        means = (first, second, sign * (second - first))
        found = [_estimate(value, *bound) for value, bound in zip(means, drawn, strict=True)]
        return found[0], found[1], found[2]

    return tuple(
        geometric(place)
        if each.metric in GEOMETRIC
        else (linear(place), linear(count + place), linear(2 * count + place))
        for place, each in enumerate(compared)
    )


def compare(
    values: Mapping[str, Values],
    rows: Sequence[int],
    *,
    metrics: Sequence[str],
    bootstrap: Bootstrap,
    scope: str,
) -> tuple[MetricSummary, ...]:
    """Compare `values["base"]` with `values["tuned"]` on `rows`, for all `metrics`, in their order.

    A metric that is defined on none of the rows is left out. Metrics that are defined on the same rows
    see the same resamples. `scope` names the set of rows: it seeds the draws.
    """
    found: dict[str, MetricSummary] = {}
    for names, defined in _families(values, rows, metrics):
        table = [
            pairs(name, *([values[variant][name][row] for row in defined] for variant in ("base", "tuned")))
            for name in names
        ]
        found.update(_compare_family(table, bootstrap, interval_seed(bootstrap, scope)))
    return tuple(found[name] for name in metrics if name in found)


def _families(
    values: Mapping[str, Values], rows: Sequence[int], metrics: Sequence[str]
) -> list[tuple[list[str], tuple[int, ...]]]:
    """Metrics by the rows on which both models have a value."""
    families: dict[tuple[int, ...], list[str]] = {}
    for name in metrics:
        base, tuned = values["base"][name], values["tuned"][name]
        defined = tuple(row for row in rows if base[row] is not None and tuned[row] is not None)
        if defined:
            families.setdefault(defined, []).append(name)
    return [(names, defined) for defined, names in families.items()]


def _compare_family(table: Sequence[Pairs], bootstrap: Bootstrap, seed: int) -> dict[str, MetricSummary]:
    import numpy as np

    estimated = estimates(table, resamples=bootstrap.resamples, confidence=bootstrap.confidence, seed=seed)
    moved = np.column_stack([gains(each.metric, each.base, each.tuned) for each in table])
    p_values = permutation_p_values(moved, resamples=bootstrap.resamples, seed=seed)
    found = {}
    for place, each in enumerate(table):
        count = wins_ties_losses(moved[:, place].tolist())
        base, tuned, gain = estimated[place]
        found[each.metric] = MetricSummary(
            metric=each.metric,
            base=base,
            tuned=tuned,
            gain=gain,
            p_value=rounded(p_values[place]),
            wins=count.wins,
            ties=count.ties,
            losses=count.losses,
            rows=len(moved),
        )
    return found


def compare_slices(
    values: Mapping[str, Values],
    slices: Sequence[Mapping[str, str]],
    *,
    columns: Sequence[str],
    metrics: Sequence[str],
    bootstrap: Bootstrap,
) -> tuple[SliceSummary, ...]:
    """One summary per value of each slice column, largest first; Holm's correction over the values of
    a column, per metric. Rows without the column stand in no slice. `slices` holds those of each row."""
    found: list[SliceSummary] = []
    for column in columns:
        rows: dict[str, list[int]] = {}
        for row, named in enumerate(slices):
            if column in named:
                rows.setdefault(str(named[column]), []).append(row)
        order = sorted(rows, key=lambda value: (-len(rows[value]), value))
        compared = {
            value: {
                metric.metric: metric
                for metric in compare(
                    values, rows[value], metrics=metrics, bootstrap=bootstrap, scope=f"{column}={value}"
                )
            }
            for value in order
        }
        for name in metrics:
            family = [value for value in order if name in compared[value]]
            adjusted = holm([compared[value][name].p_value for value in family])
            for value, p in zip(family, adjusted, strict=True):
                compared[value][name] = replace(compared[value][name], p_adjusted=rounded(p))
        found += [
            SliceSummary(
                column=column,
                value=value,
                queries=len(rows[value]),
                metrics=tuple(compared[value].values()),
            )
            for value in order
        ]
    return tuple(found)


def rounded(value: "float | np.floating") -> float:
    return round(float(value), DIGITS) + 0.0  # no negative zero


def _estimate(
    mean: "float | np.floating", low: "float | np.floating", high: "float | np.floating"
) -> Estimate:
    return Estimate(mean=rounded(mean), low=rounded(low), high=rounded(high))


def _linear(metric: str, values: "Floats") -> "Floats":
    import numpy as np

    return np.log(values) if metric in GEOMETRIC else values
