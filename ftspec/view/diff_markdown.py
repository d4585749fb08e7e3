"""A difference as a part of a comment: the verdict first, a table, details folded, a fence of what changed."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ftspec.plan.difference import Difference, SpecChanges
from ftspec.view.diff_human import alone_sentences, decision_reason, decision_text, nothing
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
    without_nulls,
)
from ftspec.view.plan_markdown import escape
from ftspec.view.safe_text import safe

_FENCE_LINES = 60


def spec_changes_markdown(found: SpecChanges, since: str) -> str:
    """The same of many specs; those that are on one side only are a list at the end."""
    parts = [diff_markdown(each) for each in found.differences]
    lines = [f"- {escape(text)}" for text in alone_sentences(found)]
    if lines:
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts) or f"{nothing(found)} since {escape(since)}.\n"


def diff_markdown(found: Difference, *, heading: bool = True) -> str:
    """GitHub-flavoured Markdown, ending in a newline."""
    lines: list[str] = []
    if heading:
        lines += [f"### ftspec diff: {escape(found.old.label)} → {escape(found.new.label)}", ""]
    lines.append(f"**{verdict(found)}**")
    if not found.is_empty:
        text = cost_text(found.estimates, found.stages)
        lines += [escape(text)] if text else []
        lines += ["", "| key | old | new | category | why |", "|---|---|---|---|---|"]
        lines += [
            f"| {escape(each.path)} | {escape(json_text(each.old))} | {escape(json_text(each.new))} "
            f"| {each.category} | {escape(each.why)} |"
            for each in found.changes
        ]
        lines += _fence(found)
        lines += _details("Stages", ("stage", "action", "why"), _stages(found))
        lines += _details("Data", ("source", "change"), _data(found))
        lines += _details("Decisions that follow", ("setting", "change", "reason"), _decisions(found))
        lines += _details("Fidelity", ("field", "old", "new", "difference"), _fidelity(found))
        sentences = [*continuation_sentences(found)]
        lines += ["", *(f"- {escape(sentence)}" for sentence in sentences)] if sentences else []
    lines += ["", *(f"- {escape(note)}" for note in found.notes)] if found.notes else []
    return "\n".join(lines) + "\n"


def fence(lines: Sequence[str]) -> list[str]:
    """A fence of `diff` that nothing in it can close."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    mark = "`" * max(3, longest + 1)
    return [f"{mark}diff", *lines, mark]


def _fence(found: Difference) -> list[str]:
    lines: list[str] = []
    for each in found.changes:
        if each.old is not None:
            lines.append(f"- {safe(each.path)}: {_value(each.old)}")
        if each.new is not None:
            lines.append(f"+ {safe(each.path)}: {_value(each.new)}")
    if len(lines) > _FENCE_LINES:
        rest = len(lines) - _FENCE_LINES
        lines = [*lines[:_FENCE_LINES], f"# and {rest} more lines"]
    return ["", *fence(lines)]


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(without_nulls(value), ensure_ascii=False)
    return safe(text if len(text) <= 200 else text[:199] + "…")


def _details(title: str, head: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return []
    return [
        "",
        f"<details><summary>{title}</summary>",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *body,
        "",
        "</details>",
    ]


def _stages(found: Difference) -> Iterator[Sequence[str]]:
    for stage in found.stages:
        yield (escape(stage.name), stage.action, STAGE_WORDS[stage.reason])


def _data(found: Difference) -> Iterator[Sequence[str]]:
    for source in found.data:
        yield (escape(source.label), escape(source_text(source)))
    for shift in found.shifts:
        yield ("⚠️ new leakage" if is_leak(shift) else "", escape(shift_text(shift)))


def _decisions(found: Difference) -> Iterator[Sequence[str]]:
    for decision in found.decisions:
        yield (escape(decision.field), escape(decision_text(decision)), escape(decision_reason(decision)))
    if space := space_text(found):
        yield ("embedding space", escape(space), "")
    if memory := memory_text(found.estimates):
        yield ("memory", escape(memory), "")


def _fidelity(found: Difference) -> Iterator[Sequence[str]]:
    for row in found.fidelity:
        yield (escape(row.field), row.old or "", row.new or "", escape(row.difference))
