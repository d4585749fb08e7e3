"""Runs as a table for people, or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from ftspec.evaluate.words import improvement, metric_gain_text, value_text
from ftspec.view.amounts import seconds_text
from ftspec.view.safe_text import cell_width
from ftspec.view.table import render_table

_COLUMNS = ("run", "verdict", "metric", "base", "tuned", "gain", "model", "took", "ended (UTC)")
_NUMBERS = ("base", "tuned", "gain", "took")
_GIVEN_UP = ("took", "base", "model", "ended (UTC)", "metric")  # in this order, when the width is short


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as `ftspec runs` shows it. `state`: finished, running or unfinished (a resume goes on)."""

    run_id: str
    name: str
    state: str
    verdict: str | None = None
    started: str | None = None  # ISO 8601, UTC
    ended: str | None = None
    wall_seconds: float | None = None
    spec_hash: str | None = None
    plan_digest: str | None = None
    primary: str | None = None  # the metric that the table shows
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    model: str | None = None  # name and version
    model_path: str | None = None
    tainted: list[str] = field(default_factory=list)  # inputs that changed while it ran


def render_runs(runs: Sequence[RunSummary], *, format: str, width: int | None = None) -> str:
    """human: one line a run; where the width is short, whole columns are left out, never cut; json: an array with every field."""
    if format == "json":
        documents = [
            {name: getattr(run, name) for name in RunSummary.__dataclass_fields__ if name != "primary"}
            for run in runs
        ]
        return json.dumps(documents, indent=1, ensure_ascii=False) + "\n"
    rows = [_COLUMNS, *(_row(run) for run in runs)]
    kept = list(_COLUMNS)
    for name in _GIVEN_UP:
        if width is not None and _width(rows, kept) > width:
            kept.remove(name)
    shown = [[row[_COLUMNS.index(name)] for name in kept] for row in rows]
    return render_table(kept, shown[1:], right=[name in _NUMBERS for name in kept])


def _width(rows: Sequence[Sequence[str]], kept: Sequence[str]) -> int:
    sizes = [max(cell_width(row[_COLUMNS.index(name)]) for row in rows) for name in kept]
    return sum(sizes) + 2 * (len(kept) - 1)


def _row(run: RunSummary) -> tuple[str, ...]:
    base = run.metrics.get("base", {}).get(run.primary or "")
    tuned = run.metrics.get("tuned", {}).get(run.primary or "")
    primary = run.primary or ""
    gain = None if base is None or tuned is None else improvement(primary, base, tuned)
    return (
        run.run_id,
        (run.verdict or run.state) + (", tainted" if run.tainted else ""),
        primary,
        "" if base is None else value_text(base),
        "" if tuned is None else value_text(tuned),
        "" if gain is None else metric_gain_text(primary, gain),
        run.model or "",
        "" if run.wall_seconds is None else seconds_text(run.wall_seconds),
        "" if run.ended is None else run.ended[:16].replace("T", " "),
    )
