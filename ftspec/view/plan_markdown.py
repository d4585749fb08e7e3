"""A plan as a comment of a pull request: the verdict first, details folded."""

import re

from ftspec.diagnostics.code import find_code
from ftspec.hardware.model import format_bytes
from ftspec.plan.codec import digest
from ftspec.plan.model import Action, Plan
from ftspec.view.amounts import seconds_text, value_text
from ftspec.view.fidelity import differences, fidelity_summary
from ftspec.view.plan_human import short_hash, stage_reason, why
from ftspec.view.plan_sentences import (
    data_sentences,
    evidence_sentences,
    model_sentence,
    objective_sentence,
    schedule_sentence,
)
from ftspec.view.safe_text import safe

MARKER = "<!-- ftspec:plan -->"  # finds the comment that is updated in place
_SPECIAL = re.compile(
    r"(?P<mention>(?:(?<![A-Za-z0-9])@|#)(?=\w))"  # GitHub turns these into links after Markdown is read
    r"|[\\`*_{}\[\]<>|~&$]|(?<=:)//|^[#+=-]|\bwww(?=\.)"
)


def escape(text: str) -> str:
    """Text of a user that no Markdown reader takes for markup, a link, a mention or HTML."""

    def replaced(found: re.Match[str]) -> str:
        if found["mention"]:
            return f"{found[0]}<!-- -->"
        return "".join(f"&#{ord(character)};" for character in found[0])

    return _SPECIAL.sub(replaced, safe(text))


def plan_markdown(plan: Plan) -> str:
    """GitHub-flavoured Markdown, ending in a newline."""
    runs = [stage for stage in plan.stages if stage.action is Action.RUN]
    lines = [MARKER, f"### ftspec plan: {escape(plan.name)}", ""]
    if plan.stages:
        reused = len(plan.stages) - len(runs)
        lines.append(
            f"**{len(runs)} stages run, {reused} are reused.**"
            if runs
            else "**Nothing to do:** every stage is stored."
        )
    costs = plan.estimates
    if costs is not None and runs:
        low, high = costs.wall_seconds / costs.wall_factor, costs.wall_seconds * costs.wall_factor
        lines.append(
            f"About {seconds_text(costs.wall_seconds)} when nothing is reused ({seconds_text(low)} to "
            f"{seconds_text(high)}), peak memory {format_bytes(costs.peak_memory_bytes)}, on "
            f"{escape(plan.machine.summary)}."
        )
    lines += _warnings(plan)
    lines += ["", "| | |", "|---|---|"]
    rows = [("model", model_sentence(plan)), *data_sentences(plan)]
    rows += [("objective", objective_sentence(plan)), ("optimiser", schedule_sentence(plan))]
    rows += list(evidence_sentences(plan))
    if plan.fidelity:
        rows.append(("fidelity", f"{plan.execution.backend}: {fidelity_summary(plan)}"))
    lines += [f"| {label} | {escape(text)} |" for label, text in rows]
    lines += _stages(plan)
    lines += _execution(plan)
    lines += _fidelity(plan)
    lines += ["", f"Spec `{short_hash(plan.spec_hash)}`, plan `{short_hash(digest(plan))}`.", ""]
    return "\n".join(lines)


def _warnings(plan: Plan) -> list[str]:
    lines = []
    for note in plan.notes:
        code = find_code(note.code)
        lines += ["", f"> ⚠️ **{note.code}** {code.summary if code else ''}: {escape(note.detail)}"]
    return lines


def _stages(plan: Plan) -> list[str]:
    if not plan.stages:
        return []
    head = ["", "<details><summary>Stages</summary>", "", "| stage | action | reason |", "|---|---|---|"]
    rows = [
        f"| {escape(item.name)} | {item.action} | {escape(stage_reason(plan, item))} |"
        for item in plan.stages
    ]
    return [*head, *rows, "", "</details>"]


def _execution(plan: Plan) -> list[str]:
    head = [
        "",
        "<details><summary>How this machine does it, and why</summary>",
        "",
        "| setting | value | reason |",
        "|---|---|---|",
    ]
    rows = []
    for name in plan.execution.__dataclass_fields__:
        value = value_text(getattr(plan.execution, name), field=name)
        rows.append(f"| {escape(name)} | {escape(value)} | {why(plan, f'execution.{name}')} |")
    return [*head, *rows, "", "</details>"]


def _fidelity(plan: Plan) -> list[str]:
    rows = [
        f"| {escape(row.field)} | {row.support} | {escape(row.difference)} |"
        for row in (*differences(plan), *(each for each in plan.fidelity if not each.difference))
    ]
    if not rows:
        return []
    head = [
        "",
        f"<details><summary>What {escape(plan.execution.backend or '')} makes of each field</summary>",
        "",
        "| field | fidelity | difference |",
        "|---|---|---|",
    ]
    return [*head, *rows, "", "</details>"]
