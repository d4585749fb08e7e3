"""Plans of many specs for people: one line each, and below it what changed."""

import shlex

from ftspec.hardware.model import format_bytes
from ftspec.plan.changes import Category
from ftspec.plan.planset import PlannedSpec, PlanSet, SpecState
from ftspec.view.amounts import count_text, seconds_text
from ftspec.view.diff_words import json_text
from ftspec.view.lines import BUSY, GOOD, HEADING, QUIET, WARN, Line, paint, wrap

_MAX_CHANGES = 6
_STYLES = {Category.SPACE_BREAK: "bold red", Category.RETRAIN: WARN, Category.WARM_START: WARN}


def render_planset(plans: PlanSet, *, width: int = 80, color: bool = False) -> str:
    """Text of about `width` columns, ending in a newline; faults of specs are told elsewhere."""
    lines: list[Line] = []
    for spec in plans.specs:
        lines += _spec(spec, width)
    for note in plans.notes:
        lines += [[(row, WARN)] for row in wrap(note, width)]
    if plans.specs:
        lines.append([])
    lines += [[(row, "")] for row in wrap(_total(plans), width)]
    if any(each.file for each in plans.specs):
        lines.append([("Run exactly these with:", QUIET)])
        lines += [
            [(f"  ftspec apply {shlex.quote(each.file)}", "")]
            for each in plans.specs
            if each.file is not None
        ]
    return paint(lines, color=color)


def _spec(spec: PlannedSpec, width: int) -> list[Line]:
    word = str(spec.category or ("no change in meaning" if spec.is_empty else spec.state))
    if spec.moves_current or spec.is_stored:
        word += " (current moves back)" if spec.moves_current else " (stored: nothing is trained)"
    if spec.state is SpecState.RENAMED:
        word = f"{word}, renamed from {spec.old_path}"
    style = "bold red" if spec.state is SpecState.FAILED else BUSY
    if spec.category is not None:
        style = _STYLES.get(spec.category, BUSY)
    lines: list[Line] = [[(spec.path, HEADING), ("  ", ""), (word, style)]]
    if spec.difference is not None:
        for change in spec.difference.changes[:_MAX_CHANGES]:
            text = f"{change.path}: {json_text(change.old)} → {json_text(change.new)}"
            lines += [
                [("  " if index == 0 else "    ", ""), (row, "")]
                for index, row in enumerate(wrap(text, width - 4))
            ]
        more = len(spec.difference.changes) - _MAX_CHANGES
        if more > 0:
            lines.append([(f"  and {count_text(more, 'change')} more", QUIET)])
    if spec.because:
        lines += [
            [("  ", ""), (row, QUIET)] for row in wrap(f"changed: {', '.join(spec.because[:3])}", width - 2)
        ]
    if spec.plan is not None:
        lines += [
            [("  ", ""), (row, QUIET if spec.running else GOOD)] for row in wrap(_runs(spec), width - 2)
        ]
    for drift in spec.drift:
        moved = ", ".join(finding.subject for finding in drift.relevant)
        text = f"drift of {drift.name} {drift.version}: {moved}; ftspec drift {spec.path}"
        lines += [[("  ", ""), (row, WARN)] for row in wrap(text, width - 2)]
    for note in (*spec.notes, *(spec.difference.notes if spec.difference is not None else ())):
        lines += [[("  ", ""), (row, WARN)] for row in wrap(note, width - 2)]
    return lines


def _runs(spec: PlannedSpec) -> str:
    if not spec.running:
        return "no stage runs because of it" if spec.difference is not None else "every stage is stored"
    text = f"{', '.join(spec.running)} {'runs' if len(spec.running) == 1 else 'run'}"
    if spec.seconds is not None:
        text += f", about {seconds_text(spec.seconds)}"
    if spec.peak_memory_bytes is not None:
        text += f", peak memory {format_bytes(spec.peak_memory_bytes)}"
    return text


def _total(plans: PlanSet) -> str:
    specs = [each for each in plans.specs if not each.is_lock]
    failed = sum(1 for each in plans.specs if each.state is SpecState.FAILED)
    words = [f"{count_text(len(specs), 'spec')}"]
    if plans.revision is not None:
        also = " and the lock" if len(specs) < len(plans.specs) else ""
        words = [
            f"{count_text(len(specs), 'spec')}{also} changed since {plans.revision}, {plans.unchanged:,} did not"
        ]
    if failed:
        words.append(f"{count_text(failed, 'spec')} cannot be planned")
    seconds = sum(each.seconds or 0.0 for each in plans.specs if each.running)
    if seconds:
        words.append(f"about {seconds_text(seconds)} in all")
    return "; ".join(words) + "."
