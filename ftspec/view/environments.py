"""Promotions: what one rests on, and the moves of a model through its environments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ftspec.evaluate.evidence import Summary, summary_document
from ftspec.evaluate.gates import Verdict, verdict_document
from ftspec.evaluate.words import (
    finding,
    interval_text,
    metric_gain_text,
    metric_label,
    p_text,
    value_text,
)
from ftspec.plan.space import short_space
from ftspec.store.project import ENVIRONMENTS_FILE
from ftspec.store.promotion import Measured, Pointers, Promotion, promotion_document
from ftspec.view.safe_text import safe
from ftspec.view.table import render_table


def render_comparison(summary: Summary, verdict: Verdict, *, present: str, candidate: str) -> str:
    """The metrics of both versions side by side, and what was asked."""
    rows = [
        (
            metric_label(metric.metric),
            value_text(metric.base.mean),
            value_text(metric.tuned.mean),
            metric_gain_text(metric.metric, metric.gain.mean),
            interval_text(metric.gain),
            p_text(metric.p_value),
        )
        for metric in summary.metrics
    ]
    heads = ("metric", present, candidate, "gain", "interval", "p")
    table = render_table(heads, rows, right=(False, True, True, True, True, True))
    lines = [safe(finding(summary)), "", *(f"  {line}" for line in table.splitlines()), ""]
    lines += [
        f"  {gate.outcome:<12} {metric_label(gate.metric)}: {safe(gate.reason)}" for gate in verdict.gates
    ]
    return "\n".join(lines) + "\n"


def comparison_document(summary: Summary, verdict: Verdict) -> dict[str, Any]:
    return {**summary_document(summary), **verdict_document(verdict), "finding": finding(summary)}


def render_promotion(promotion: Promotion) -> str:
    """One line: what moved, and from where."""
    what = "rolled back to" if promotion.action == "rollback" else "points to"
    before = f", before {promotion.from_version}" if promotion.from_version else ""
    space = f" (space {short_space(promotion.space_id)})" if promotion.space_id else ""
    return f"{promotion.environment} {what} {safe(promotion.model)}{space}{before}\n"


def render_restored(written: Pointers, committed: Pointers) -> str:
    """Each pointer of a file that was made again from the recorded promotions; what HEAD has otherwise stands
    before the arrow, also where nothing came of it."""
    lines = [f"{ENVIRONMENTS_FILE} was not there: it is made from the last promotions recorded in this clone"]
    for environment, name in sorted(written.keys() | committed.keys()):
        now, before = written.get((environment, name)), committed.get((environment, name))
        to = "nothing" if now is None else now.version
        was = "" if before is None or before == now else f"{before.version} (as in HEAD) → "
        lines.append(f"  {environment} of {safe(name)}: {was}{to}")
    if any(written.get(place) != each for place, each in committed.items()):
        lines.append(f"to have what the commit has: git checkout HEAD -- {ENVIRONMENTS_FILE}")
    return "\n".join(lines) + "\n"


def render_history(
    promotions: Sequence[Promotion],
    current: frozenset[str],
    states: Mapping[str, str],
    *,
    width: int | None = None,
) -> str:
    """The newest first in each environment; `*` marks where it points now. `states`: by id, what is wrong
    with the files of a promoted model."""
    heads = ("", "environment", "version", "from", "verdict", "gain", "space", "files", "when (UTC)", "who")
    ordered = _newest_first(promotions)
    rows = [
        (
            "*" if each.id in current else "",
            each.environment,
            each.version,
            each.from_version or "",
            "rollback" if each.action == "rollback" else _VERDICTS.get(each.basis, each.verdict),
            _gain(each.measured),
            short_space(each.space_id),
            states.get(each.id, ""),
            each.promoted[:16].replace("T", " "),
            each.by,
        )
        for each in ordered
    ]
    kept = [place for place, name in enumerate(heads) if name in _ALWAYS or any(row[place] for row in rows)]
    table = render_table(
        [heads[place] for place in kept], [[row[place] for place in kept] for row in rows], width=width
    )
    said = [
        f"{each.environment} {each.number}, {each.version}: {safe(' '.join((*each.flags, each.note)).strip())}"
        for each in ordered
        if each.flags or each.note
    ]
    return table + "".join(f"  {line}\n" for line in said)


_ALWAYS = ("", "environment", "version", "verdict", "when (UTC)", "who")
_VERDICTS = {"registered": "first", "same": "same model"}


def history_document(
    promotions: Sequence[Promotion], current: frozenset[str], states: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [
        {
            **promotion_document(each),
            "current": each.id in current,
            "files": states.get(each.id) or "whole",
        }
        for each in _newest_first(promotions)
    ]


def _newest_first(promotions: Iterable[Promotion]) -> list[Promotion]:
    return sorted(promotions, key=lambda each: (each.environment, each.name, -each.number, each.id))


def _gain(measured: Measured | None) -> str:
    return "" if measured is None else metric_gain_text(measured.metric, measured.gain)
