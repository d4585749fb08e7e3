"""A difference for people, in three levels: the verdict and its cost, the changes, what follows from them."""

from collections.abc import Iterator, Sequence

from ftspec.plan.changes import MEANING, RULES, Category, cost
from ftspec.plan.difference import Change, DecisionChange, Difference, SpecChanges, StageReason
from ftspec.plan.reasons import Reason
from ftspec.view.amounts import seconds_text, value_text
from ftspec.view.diff_words import (
    STAGE_WORDS,
    continuation_sentences,
    cost_text,
    is_leak,
    json_text,
    memory_text,
    shift_text,
    source_text,
    space_text,
    verdict,
)
from ftspec.view.lines import BUSY, GOOD, HEADING, QUIET, WARN, Line, columns, labelled, paint, wrap
from ftspec.view.reasons import PROSE
from ftspec.view.safe_text import safe

_LABEL = 13
_STYLES = {Category.SPACE_BREAK: "bold red", Category.RETRAIN: WARN, Category.WARM_START: WARN}


def render_diff(found: Difference, *, width: int = 80, color: bool = False) -> str:
    """Text of at most `width` columns (from 60), ending in a newline; ANSI colours only if asked."""
    width = max(width, 60)
    lines: list[Line] = [
        *_paragraph(f"{found.old.label} → {found.new.label}", width, HEADING),
        *_paragraph(verdict(found), width, _STYLES.get(found.category, "") if found.category else GOOD),
    ]
    if not found.is_empty:
        lines += _paragraph(cost_text(found.estimates, found.stages), width)
    for heading, section in (
        ("Changes", _changes(found, width)),
        ("Data", _data(found, width)),
        ("Decisions", _decisions(found, width)),
        ("Fidelity", _fidelity(found, width)),
        ("Stages", _stages(found, width)),
        ("Training", _sentences(continuation_sentences(found), width)),
        ("Notes", _sentences(found.notes, width)),
    ):
        if found.is_empty and heading in ("Stages", "Training"):
            continue
        body = list(section)
        if body:
            lines += [[], [(heading, HEADING)], *body]
    return paint(lines, color=color)


def render_spec_changes(found: SpecChanges, since: str, *, width: int = 80, color: bool = False) -> str:
    """The costliest first; specs that are on one side only in one line each at the end."""
    order = sorted(found.differences, key=lambda each: -1 - cost(each.category) if each.category else 0)
    parts = [render_diff(each, width=width, color=color) for each in order]
    lines = [line for text in alone_sentences(found) for line in _paragraph(text, width)]
    if lines:
        parts.append(paint(lines, color=color))
    return "\n".join(parts) or f"{nothing(found)} since {safe(since)}.\n"


def nothing(found: SpecChanges) -> str:
    """Of those that can be read; what is the matter with the others is told elsewhere."""
    return "No other spec changed" if found.is_partial else "No spec changed"


def alone_sentences(found: SpecChanges) -> Iterator[str]:
    """Of specs that cannot be compared, or need not."""
    for path in found.new:
        yield f"{path} is new: ftspec plan tells what it runs"
    for path in found.deleted:
        yield f"{path} is deleted: nothing runs, and what it made stays registered"
    for old, new in found.renamed:
        yield f"{old} is {new} now"


def _paragraph(text: str, width: int, style: str = "") -> list[Line]:
    return [[(row, style)] for row in wrap(text, width)] if text else []


def _changes(found: Difference, width: int) -> Iterator[Line]:
    """Grouped by category, the costliest first."""
    for category in sorted({each.category for each in found.changes}, key=cost, reverse=True):
        yield [(f"  {category}", _STYLES.get(category, BUSY))]
        for change in found.changes:
            if change.category is category:
                yield from _change(change, width)


def _change(change: Change, width: int) -> Iterator[Line]:
    head = f"{change.path}: {json_text(change.old)} → {json_text(change.new)}"
    for index, row in enumerate(wrap(head, width - 6)):
        yield [("    " if index == 0 else "      ", ""), (row, "")]
    place = f" ({change.place})" if change.place else ""
    for row in wrap(f"{change.why}{place}", width - 6):
        yield [("      ", ""), (row, QUIET)]


def _data(found: Difference, width: int) -> Iterator[Line]:
    for source in found.data:
        yield from _entry(f"{source.label}:", source_text(source), width)
        for example in source.rows.examples if source.rows is not None else ():
            for row in wrap(example, width - 6):
                yield [("      ", ""), (row, QUIET)]
    for shift in found.shifts:
        leak = is_leak(shift)
        text = shift_text(shift)
        yield from _entry("new leakage:" if leak else "", text, width, WARN if leak else "")


def decision_text(decision: DecisionChange) -> str:
    name = decision.field.rpartition(".")[2]
    return f"{value_text(decision.old, field=name)} → {value_text(decision.new, field=name)}"


def decision_reason(decision: DecisionChange) -> str:
    return "" if decision.reason is None else PROSE[Reason(decision.reason)]


def _decisions(found: Difference, width: int) -> Iterator[Line]:
    memory = memory_text(found.estimates)
    for decision in found.decisions:
        reason = decision_reason(decision)
        text = decision_text(decision) + (f" ({reason})" if reason else "")
        yield from labelled(
            decision.field, text, width=width, label_width=max(_LABEL, len(decision.field) + 1)
        )
    if space := space_text(found):
        yield from labelled("space", space, width=width, label_width=_LABEL)
    if memory:
        yield from labelled("memory", memory, width=width, label_width=_LABEL)


def _fidelity(found: Difference, width: int) -> Iterator[Line]:
    for row in found.fidelity:
        text = f"{row.old or 'not handed over'} → {row.new or 'not handed over'}"
        if row.difference:
            text += f": {row.difference}"
        yield from _entry(row.field, text, width, WARN if row.new == "impossible" else "")


def _entry(name: str, text: str, width: int, style: str = "") -> Iterator[Line]:
    """A name, and what is said of it: beside it, or below where the name is long."""
    for index, row in enumerate(wrap(f"{name} {text}".strip(), width - 6)):
        yield [("  " if index == 0 else "      ", ""), (row, style)]


def _stages(found: Difference, width: int) -> Iterator[Line]:
    for stage in found.stages:
        is_new = stage.reason is StageReason.CHANGED
        seconds = f", about {seconds_text(stage.seconds)}" if is_new and stage.seconds is not None else ""
        yield from columns(
            [
                (stage.name, ""),
                (stage.action, BUSY if stage.action == "run" else GOOD),
                (STAGE_WORDS[stage.reason] + seconds, QUIET),
            ],
            (_LABEL, 8),
            width=width,
        )


def _sentences(sentences: Iterator[str] | Sequence[str], width: int) -> Iterator[Line]:
    for sentence in sentences:
        for index, row in enumerate(wrap(sentence, width - 4)):
            yield [("  " if index == 0 else "    ", ""), (row, "")]


def render_rules(*, width: int = 80, color: bool = False) -> str:
    """The categories, and the table of rules with their exceptions."""
    lines: list[Line] = [[("Categories, cheapest first", HEADING)]]
    for category, meaning in MEANING.items():
        lines += labelled(str(category), meaning, width=width, label_width=_LABEL)
    lines += [[], [("One rule for every key", HEADING)]]
    for rule in RULES:
        kinds = "" if len(rule.kinds) > 1 else f" ({rule.kinds[0]})"
        lines.append([(f"  {rule.path}{kinds}", "")])
        lines += columns([(str(rule.category), BUSY), (rule.why, QUIET)], (13,), width=width, indent=4)
        for case in rule.cases:
            words = f"where {case.condition.replace('_', ' ')}: {case.why}"
            lines += columns([(str(case.category), BUSY), (words, QUIET)], (13,), width=width, indent=4)
    return paint(lines, color=color)
