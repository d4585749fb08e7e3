"""The result of a run: base against tuned, on queries that the model never saw."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ftspec.evaluate.card_evidence import evidence_lines, gate_lines
from ftspec.evaluate.evidence import (
    Example,
    MetricSummary,
    Summary,
    TextExample,
    plural,
    summary_document,
)
from ftspec.evaluate.gates import Outcome, Verdict, verdict_document
from ftspec.evaluate.words import (
    bound_text,
    comparison,
    consequence,
    excerpt,
    finding,
    gain_text,
    interval_text,
    markdown_text,
    metric_gain_text,
    metric_label,
    p_text,
    unmeasured,
    value_text,
)
from ftspec.view.lines import new_console
from ftspec.view.safe_text import safe
from ftspec.view.table import cut

_STYLES = {
    "better": "bold green",
    "worse": "bold red",
    "the same": "bold yellow",
    "cannot tell": "bold yellow",
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.INCONCLUSIVE: "yellow",
}
_ROOM_FOR_P = 100  # columns from which on the main table has room for p-values
_ROOM_FOR_COUNTS = 76  # … for wins and losses, and slices for their intervals
_ROOM_FOR_WORDS = 12  # more of it, where gains are told in words
_SLICES = 8
_SLICE_NAME = 18
_INDENT = 2


def render_evidence(summary: Summary, verdict: Verdict, width: int, *, color: bool = False) -> str:
    """The result for a terminal of `width` columns: the finding, metrics, gates, slices, dimensions,
    latency, and the queries that moved most. No line is longer than `width`."""
    out = io.StringIO()
    console = new_console(out, width=width, color=color)
    for part in _parts(summary, verdict, width):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n")).rstrip("\n") + "\n"


def evidence_markdown(summary: Summary, verdict: Verdict) -> str:
    """The result as Markdown, for a pull request."""
    lines = [
        f"**{markdown_text(finding(summary))}**",
        "",
        f"Verdict: {verdict.verdict}. {consequence(verdict.verdict, summary.noun)}",
        "",
        *gate_lines(verdict),
        *evidence_lines(summary),
    ]
    for title, examples in (("Improved most", summary.improvements), ("Lost most", summary.regressions)):
        if examples:
            lines += [f"## {title}", ""]
            for each in examples:
                moved = f"{value_text(each.base)} → {value_text(each.tuned)}"
                lines.append(f"- {moved} {markdown_text(each.text)}")
                lines += [f"  - {name}: {markdown_text(text)}" for name, text in _answers(each)]
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def evidence_document(summary: Summary, verdict: Verdict) -> dict[str, Any]:
    """The result as JSON values."""
    return {**summary_document(summary), **verdict_document(verdict), "finding": finding(summary)}


def _parts(summary: Summary, verdict: Verdict, width: int) -> Iterator[RenderableType]:
    yield _finding(summary)
    yield ""
    yield _metric_table(summary, width)
    for line in unmeasured(summary):
        yield Padding(Text(line, "dim"), (0, 0, 0, _INDENT))
    yield ""
    yield from _gates(verdict)
    if len(summary.dimensions) > 1:
        yield from _dimensions(summary)
    if summary.slices:
        yield from _slices(summary, width)
    if summary.tuned_latency is not None:
        yield from _latency(summary)
    yield from _examples("improved most", summary.improvements, width)
    yield from _examples("lost most", summary.regressions, width)


def _finding(summary: Summary) -> Text:
    word = comparison(summary.primary_metric)
    sentence = Text()
    sentence.append(word, _STYLES[word])
    sentence.append(finding(summary).removeprefix(word))
    return sentence


def _table(heads: Sequence[tuple[str, bool]]) -> Table:
    """A table without lines; each head has whether its column is right-aligned."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    for number, (name, right) in enumerate(heads):
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None,
            min_width=None if number == 0 else len(name),
        )
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, _INDENT))


def _metric_table(summary: Summary, width: int) -> Padding:
    words = 0 if summary.text is None else _ROOM_FOR_WORDS
    with_p = width >= _ROOM_FOR_P + words
    interval = f"{summary.confidence * 100:g} % interval"
    heads = [("", False), ("base", True), ("tuned", True), ("gain", True), (interval, True)]
    heads += [("p", True)] if with_p else []
    with_counts = width >= _ROOM_FOR_COUNTS + words
    heads += [("better", True), ("same", True), ("worse", True)] if with_counts else []
    table = _table(heads)
    for metric in summary.metrics:
        cells = [metric_label(metric.metric), *_compared(metric, in_words=width >= _ROOM_FOR_COUNTS)]
        cells += [p_text(metric.p_value)] if with_p else []
        counts = (metric.wins, metric.ties, metric.losses) if with_counts else ()
        table.add_row(*cells, *(f"{count:,}" for count in counts))
    return _indented(table)


def _compared(metric: MetricSummary, *, in_words: bool = True) -> list[str | Text]:
    """Base, tuned, gain and interval. A narrow terminal has no room for gains in words."""
    word = comparison(metric)
    style = "" if word in ("the same", "cannot tell") else _STYLES[word].removeprefix("bold ")
    gain = metric_gain_text(metric.metric, metric.gain.mean) if in_words else gain_text(metric.gain.mean)
    return [
        value_text(metric.base.mean),
        value_text(metric.tuned.mean),
        Text(gain, style),
        interval_text(metric.gain),
    ]


def _gates(verdict: Verdict) -> Iterator[RenderableType]:
    table = _table([("gates", False), ("", False), ("", False)])
    for gate in verdict.gates:
        table.add_row(
            Text(str(gate.outcome), _STYLES[gate.outcome]), metric_label(gate.metric), bound_text(gate)
        )
    yield _indented(table)
    for gate in verdict.gates:
        if gate.outcome is not Outcome.PASSED:
            yield Padding(Text(f"{metric_label(gate.metric)}: {gate.reason}.", "dim"), (0, 0, 0, _INDENT))
    yield ""


def _dimensions(summary: Summary) -> Iterator[RenderableType]:
    label = f"width, {metric_label(summary.primary)}"
    table = _table([(label, False), ("base", True), ("tuned", True), ("gain", True), ("interval", True)])
    for part in summary.dimensions:
        table.add_row(str(part.dimension), *_compared(part.metric(summary.primary)))
    yield _indented(table)
    yield ""


def _slices(summary: Summary, width: int) -> Iterator[RenderableType]:
    """The largest slices that define the primary metric; a narrow terminal has no room for their intervals."""
    full = width >= _ROOM_FOR_COUNTS
    heads = [(plural(summary.noun), True), ("base", True), ("tuned", True), ("gain", True)]
    heads += [("interval", True)] if full else []
    table = _table([(f"slices, {metric_label(summary.primary)}", False), *heads, ("p*", True)])
    slices = [(part, metric) for part in summary.slices if (metric := part.find(summary.primary)) is not None]
    if not slices:
        return
    for part, metric in slices[:_SLICES]:
        p = metric.p_value if metric.p_adjusted is None else metric.p_adjusted
        name = cut(safe(excerpt(f"{part.column} {part.value}", 200)), _SLICE_NAME)
        compared = _compared(metric) if full else _compared(metric, in_words=False)[:-1]
        table.add_row(Text(name), f"{part.queries:,}", *compared, p_text(p))
    yield _indented(table)
    rest = len(slices) - _SLICES
    more = f"{rest:,} smaller ones are in the JSON. " if rest > 0 else ""
    yield Padding(Text(f"{more}* Holm's correction over all values of a column.", "dim"), (0, 0, 0, _INDENT))
    yield ""


def _latency(summary: Summary) -> Iterator[RenderableType]:
    table = _table([("latency of a query", False), ("median", True), ("95th percentile", True)])
    for name, latency in (("base", summary.base_latency), ("tuned", summary.tuned_latency)):
        if latency is not None:
            table.add_row(name, f"{latency.p50_ms:.1f} ms", f"{latency.p95_ms:.1f} ms")
    yield _indented(table)
    yield ""


def _examples(title: str, examples: Sequence[Example | TextExample], width: int) -> Iterator[RenderableType]:
    if not examples:
        return
    yield Padding(Text(title, "dim"), (0, 0, 0, _INDENT))
    for each in examples:
        moved = f"{value_text(each.base)} → {value_text(each.tuned)}"
        line = f"{moved}  {safe(excerpt(each.text, width))}"
        yield Padding(Text(line, no_wrap=True, overflow="ellipsis"), (0, 0, 0, _INDENT))
        for name, text in _answers(each):
            line = f"{name:<8} {safe(excerpt(text, width)) or '(nothing)'}"
            yield Padding(Text(line, "dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2 * _INDENT))
    yield ""


def _answers(example: Example | TextExample) -> list[tuple[str, str]]:
    """What a row of text expects, and what both models wrote."""
    if isinstance(example, Example):
        return []
    said = (("expected", example.expected), ("base", example.base_answer), ("tuned", example.tuned_answer))
    return [(name, text) for name, text in said if text is not None]
