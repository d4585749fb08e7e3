"""Drift for people, as Markdown, and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from ftspec.plan.drift import DriftFinding, DriftReport, DriftSeverity, ModelDrift
from ftspec.view.lines import GOOD, HEADING, QUIET, WARN, Line, paint, wrap
from ftspec.view.plan_markdown import escape
from ftspec.view.safe_text import safe

_INDENT = 2
_HEAD = ("| severity | what | old | new | remedy |", "|---|---|---|---|---|")


def drift_document(report: DriftReport) -> dict[str, Any]:
    """`relevant` and `informational` count findings. `unknown` says what could not be looked at."""
    return {
        "format_version": "1.0",
        "relevant": report.relevant,
        "informational": report.informational,
        "models": [asdict(each) for each in report.models],
        "not_made": list(report.not_made),
    }


def relevant_drift(models: Sequence[ModelDrift]) -> list[dict[str, Any]]:
    """The short form of a plan, with the relevant findings alone."""
    return [asdict(replace(each, findings=each.relevant)) for each in models]


def render_drift(report: DriftReport, *, width: int, color: bool = False) -> str:
    """Relevant findings come first; what did not move is one line."""
    lines: list[Line] = []
    for each in report.models:
        lines += [*_model_lines(each, width), []]
    for name in report.not_made:
        lines += [[(safe(name), HEADING), ("  nothing is registered yet, so nothing can drift", QUIET)], []]
    lines.append([(verdict_text(report), WARN if report.relevant else GOOD)])
    return paint(lines, color=color)


def verdict_text(report: DriftReport) -> str:
    if not report.models:
        return "No model is in use, so nothing can drift."
    if not report.relevant and not report.informational:
        unknown = any(each.unknown for each in report.models)
        return "No drift is seen; not everything is known." if unknown else "No drift."
    found = f"{_counted(report.relevant, 'relevant')}, {_counted(report.informational, 'informational')}"
    return f"Drift: {found}." if report.relevant else f"No relevant drift ({found})."


def drift_section_text(models: Sequence[ModelDrift], *, width: int, color: bool = False) -> str:
    """The short form of a plan: relevant findings alone."""
    lines: list[Line] = [[("Drift", HEADING)]]
    for each in models:
        lines.append([(f"  {_title(each)}", "")])
        for finding in each.relevant:
            lines += _finding_lines(finding, width, indent=4)
    return paint(lines, color=color)


def drift_section_markdown(models: Sequence[ModelDrift]) -> str:
    lines = ["<details><summary>Drift</summary>", ""]
    for each in models:
        lines += [
            f"**{escape(_title(each))}**",
            "",
            *_HEAD,
            *(_row(finding) for finding in each.relevant),
            "",
        ]
    return "\n".join([*lines, "</details>", ""])


def drift_markdown(report: DriftReport) -> str:
    """GitHub-flavoured Markdown, ending in a newline."""
    lines = ["### ftspec drift", "", f"**{verdict_text(report)}**", ""]
    for each in report.models:
        lines += [f"**{escape(_title(each))}**", ""]
        if each.findings:
            lines += _HEAD
            lines += [_row(finding) for finding in _ordered(each.findings)]
        elif not each.unknown:
            lines.append("Nothing moved.")
        lines.append("")
        remarks = [*each.notes, *(f"unknown: {text}" for text in each.unknown)]
        lines += [*(f"- {escape(text)}" for text in remarks), *([""] if remarks else [])]
    if report.not_made:
        lines += [f"Nothing is registered yet of {', '.join(escape(name) for name in report.not_made)}.", ""]
    return "\n".join(lines)


def _row(finding: DriftFinding) -> str:
    severity = "**relevant**" if finding.severity is DriftSeverity.RELEVANT else "informational"
    cells = (finding.subject, finding.old, finding.new, finding.remedy)
    return f"| {severity} | {' | '.join(escape(' '.join(cell.split())) for cell in cells)} |"


def _model_lines(drift: ModelDrift, width: int) -> Iterator[Line]:
    yield [(_title(drift), HEADING), (f"  made {drift.made[:10]}" if drift.made else "", QUIET)]
    if not drift.findings and not drift.unknown:
        yield [("  nothing moved", GOOD)]
    for finding in _ordered(drift.findings):
        yield from _finding_lines(finding, width, indent=_INDENT)
    for text in drift.notes:
        yield from _wrapped(f"note: {text}", width, QUIET)
    for text in drift.unknown:
        yield from _wrapped(f"unknown: {text}", width, QUIET)


def _finding_lines(finding: DriftFinding, width: int, *, indent: int) -> Iterator[Line]:
    is_relevant = finding.severity is DriftSeverity.RELEVANT
    mark = "relevant" if is_relevant else "informational"
    yield [
        (" " * indent, ""),
        (mark, WARN if is_relevant else QUIET),
        (f"  {safe(finding.subject)}", ""),
    ]
    for text, style in (
        (f"{safe(finding.old)} → {safe(finding.new)}", ""),
        (safe(finding.remedy), QUIET),
    ):
        for part in wrap(text, max(width - indent - 2, 20)):
            yield [(" " * (indent + 2), ""), (part, style)]


def _wrapped(text: str, width: int, style: str) -> Iterator[Line]:
    for number, part in enumerate(wrap(safe(text), width - _INDENT - 2)):
        yield [(" " * (_INDENT if number == 0 else _INDENT + 2), ""), (part, style)]


def _ordered(findings: Sequence[DriftFinding]) -> list[DriftFinding]:
    return sorted(findings, key=lambda each: each.severity is not DriftSeverity.RELEVANT)


def _title(drift: ModelDrift) -> str:
    return safe(f"{drift.name} {drift.version} ({', '.join(drift.used_as)})")


def _counted(number: int, what: str) -> str:
    return f"{number} {what} finding{'' if number == 1 else 's'}"
