"""The details of one spec in the comment of a pull request, and the escaping that the whole comment uses."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ftspec.diagnostics.code import find_code
from ftspec.diagnostics.model import Diagnostic
from ftspec.hardware.model import format_bytes
from ftspec.plan.difference import Difference, SourceChange, StageReason
from ftspec.plan.planset import PlannedSpec
from ftspec.plan.reasons import Reason
from ftspec.view.amounts import count_text, number_text, seconds_text, value_text
from ftspec.view.diff_words import continuation_sentences, space_text, without_nulls
from ftspec.view.plan_human import short_hash
from ftspec.view.plan_markdown import escape
from ftspec.view.reasons import PROSE
from ftspec.view.safe_text import safe

LONGEST_NAME = 120  # characters
_LONGEST_VALUE = 160


class _Lists:
    """Cuts lists to a length, and counts what it cut."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.left_out = 0

    def cut(self, lines: Sequence[str], note: Callable[[int], str]) -> list[str]:
        if len(lines) <= self.longest:
            return list(lines)
        more = len(lines) - self.longest
        self.left_out += more
        return [*lines[: self.longest], note(more)]


def spec_details(spec: PlannedSpec, longest: int) -> tuple[list[str], int]:
    lists = _Lists(longest)
    body = [*_of_faults(spec.found, lists), *_of_notes(spec)]
    if spec.difference is not None:
        body += _of_difference(spec.difference, lists)
    body += _of_plan(spec, lists)
    if not body:
        return [], 0
    summary = f"<b>{escape(clip(spec.path, LONGEST_NAME))}</b>: {_plain_word(spec)}"
    return ["", f"<details><summary>{summary}</summary>", *body, "", "</details>"], lists.left_out


def _plain_word(spec: PlannedSpec) -> str:
    word = str(spec.category or ("no change in meaning" if spec.is_empty else spec.state))
    if spec.moves_current or spec.is_stored:
        return f"{word}, {'current moves back' if spec.moves_current else 'stored'}: nothing is trained"
    if spec.seconds and spec.running:
        return f"{word}, about {seconds_text(spec.seconds)}"
    return word


def _of_faults(found: Iterable[Diagnostic], lists: _Lists) -> list[str]:
    lines = []
    for each in found:
        place = f" at {code(str(each.primary))}" if each.primary is not None else ""
        help = f"; {escape(clip(each.help, 400))}" if each.help else ""
        detail = f": {escape(clip(each.detail, 400))}" if each.detail else ""
        lines.append(f"- **{each.level} {each.code.id}** {each.summary}{place}{detail}{help}")
    cut = lists.cut(lines, lambda more: f"- … and {count_text(more, 'finding')} more")
    return ["", *cut] if cut else []


def _of_notes(spec: PlannedSpec) -> list[str]:
    notes = [*spec.notes, *(spec.difference.notes if spec.difference is not None else ())]
    if spec.because:
        more = f" and {len(spec.because) - 3} more" if len(spec.because) > 3 else ""
        files = ", ".join(code(path) for path in spec.because[:3])
        return ["", f"Changed: {files}{more}.", *_paragraphs(notes)]
    return _paragraphs(notes)


def _paragraphs(notes: Iterable[str]) -> list[str]:
    return [line for note in notes for line in ("", f"> {escape(clip(note, 1000))}")]


def _of_difference(found: Difference, lists: _Lists) -> list[str]:
    lines: list[str] = []
    if found.changes:
        pairs = [_pair(each.path, each.old, each.new) for each in found.changes]
        cut = lists.cut(pairs, lambda more: f"# … and {count_text(more, 'key')} more")
        lines += ["", "````diff", *cut, "````"]
        rows = [
            f"| {code(each.path)} | {each.category} | {escape(each.why)} |"
            + (f" {code(each.place)} |" if each.place else " |")
            for each in found.changes
        ]
        lines += _table("| key | category | why | place |", rows, lists)
    rows = [
        f"| {code(each.field)} | {escape(_value(each.old, each.field))} | {escape(_value(each.new, each.field))} "
        f"| {_reason(each.reason)} |"
        for each in found.decisions
    ]
    lines += _table("| decided otherwise | before | now | why |", rows, lists)
    rows = [
        f"| {code(each.field)} | {each.old or ''} | {each.new or ''} | {escape(each.difference)} |"
        for each in found.fidelity
    ]
    lines += _table("| fidelity of | before | now | difference |", rows, lists)
    lines += _table("| data | rows before | rows now | |", [_data_row(each) for each in found.data], lists)
    rows = [
        f"| {escape(each.name.replace('_', ' '))} | {number_text(each.old)} | {number_text(each.new)} |"
        for each in found.shifts
    ]
    lines += _table("| number of the data | before | now |", rows, lists)
    lines += _stages(found)
    if space := space_text(found):
        lines += ["", f"Embedding space: {escape(space)}."]
    if not found.is_empty:
        for sentence in continuation_sentences(found):
            lines += ["", escape(clip(sentence, 400))]
    costs = found.estimates
    if costs is not None and costs.old_peak_memory_bytes not in (None, costs.new_peak_memory_bytes):
        lines += [
            "",
            f"Peak memory: {format_bytes(costs.old_peak_memory_bytes or 0)} → "
            f"{format_bytes(costs.new_peak_memory_bytes)}.",
        ]
    return lines


def _stages(found: Difference) -> list[str]:
    """Which run because of the change, and which only because nothing is stored where it was planned."""

    def named(reason: StageReason) -> str:
        return ", ".join(escape(each.name) for each in found.stages if each.reason is reason)

    changed, absent = named(StageReason.CHANGED), named(StageReason.NOT_STORED)
    lines = ["", f"Runs because of it: {changed}."] if changed else []
    if absent:
        needed = "The same as before, but not stored where this was planned" + (
            ", so apply there runs" if changed else ""
        )
        seconds = found.estimates.seconds_all if changed and found.estimates is not None else 0.0
        total = f" (about {seconds_text(seconds)} with them)" if seconds else ""
        lines += ["", f"{needed}: {absent}{total}."]
    return lines


def _pair(path: str, old: Any, new: Any) -> str:
    """Lines of a diff; each starts with its sign, so that nothing in a value can end the fence."""
    lines = []
    if old is not None or new is None:
        lines.append(f"- {_key(path)}: {_json(old)}")
    if new is not None or old is None:
        lines.append(f"+ {_key(path)}: {_json(new)}")
    return "\n".join(lines)


def _key(path: str) -> str:
    return clip(safe(path), LONGEST_NAME)


def _json(value: Any) -> str:
    if isinstance(value, float):
        return number_text(value)
    return clip(safe(json.dumps(without_nulls(value), ensure_ascii=False, default=str)), _LONGEST_VALUE)


def _value(value: Any, field: str) -> str:
    return clip(value_text(value, field=field), _LONGEST_VALUE)


def _reason(name: str | None) -> str:
    try:
        return PROSE.get(Reason(name), "") if name else ""
    except ValueError:
        return escape(name or "")


def _data_row(found: SourceChange) -> str:
    def rows(count: int | None) -> str:
        return "" if count is None else f"{count:,}"

    words = []
    if found.rows is not None:
        words = [
            f"{found.rows.added:,} added, {found.rows.removed:,} removed, {found.rows.changed:,} changed"
        ]
    if found.share_new is not None:
        words.append(f"{found.share_new:.0%} of the rows are new")
    return f"| {code(found.label)} | {rows(found.old_rows)} | {rows(found.new_rows)} | {'; '.join(words)} |"


def _table(head: str, rows: Sequence[str], lists: _Lists) -> list[str]:
    if not rows:
        return []
    columns = head.count("|") - 1
    cut = lists.cut(rows, lambda more: f"| … and {more:,} more |{' |' * (columns - 1)}")
    return ["", head, "|" + "---|" * columns, *cut]


def _of_plan(spec: PlannedSpec, lists: _Lists) -> list[str]:
    plan = spec.plan
    if plan is None:
        return []
    lines: list[str] = []
    warnings = []
    for note in plan.notes:
        code = find_code(note.code)
        warnings.append(
            f"- ⚠️ **{note.code}** {code.summary if code else ''}: {escape(clip(note.detail, 400))}"
        )
    if warnings:
        lines += ["", *lists.cut(warnings, lambda more: f"- … and {count_text(more, 'warning')} more")]
    execution = plan.execution
    batch = execution.per_device_train_batch_size
    settings = [
        f"{escape(str(execution.backend))} on {escape(str(execution.device))}",
        str(execution.precision),
    ]
    if batch is not None:
        settings.append(f"micro-batch {batch:,} × {execution.gradient_accumulation_steps}")
    lines += ["", f"Runs by {', '.join(settings)}."]
    if spec.digest is not None:
        lines[-1] += (
            f" Plan <code>{short_hash(spec.digest)}</code>, spec <code>{short_hash(plan.spec_hash)}</code>."
        )
    return lines


def length(text: str) -> int:
    """As GitHub counts at worst: characters beyond the first plane are two."""
    return len(text.encode("utf-16-le", "replace")) // 2


def code(text: str) -> str:
    return f"<code>{escape(clip(text, LONGEST_NAME))}</code>"


def clip(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text):,} characters)"
