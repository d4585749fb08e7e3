"""What was measured and what was asked, as Markdown: for model cards and pull requests."""

from collections.abc import Iterator

from ftspec.evaluate.evidence import Latency, MetricSummary, Summary, plural
from ftspec.evaluate.gates import Verdict
from ftspec.evaluate.words import (
    bound_text,
    counted,
    interval_text,
    markdown_table,
    markdown_text,
    metric_gain_text,
    metric_label,
    p_text,
    unmeasured,
    value_text,
)

_SLICE_ROWS = 20
_COMPARED = ("baseline", "this model", "gain", "interval")


def evidence_lines(summary: Summary) -> Iterator[str]:
    """Markdown of what was measured."""
    yield "## Evidence"
    yield ""
    yield (
        f"{_scored(summary)} "
        f"Intervals are paired bootstrap intervals of {summary.confidence * 100:g} % "
        f"({summary.resamples:,} resamples); p-values are of a two-sided paired permutation test."
    )
    yield ""
    head = ["metric", *_COMPARED, "p", "better / same / worse"]
    rows = [_metric_row(metric) for metric in summary.metrics]
    if summary.text is not None:
        head.append("rows")
        rows = [[*row, f"{metric.rows:,}"] for row, metric in zip(rows, summary.metrics, strict=True)]
    yield from markdown_table(head, rows)
    yield ""
    if missing := unmeasured(summary):
        yield from (f"- {markdown_text(line)}" for line in missing)
        yield ""
    if len(summary.dimensions) > 1:
        label = metric_label(summary.primary)
        yield f"By dimension, {label}:"
        yield ""
        rows = [
            [str(part.dimension), *_metric_row(part.metric(summary.primary))[1:5]]
            for part in summary.dimensions
        ]
        yield from markdown_table(("dimensions", *_COMPARED), rows, right=0)
        yield ""
    slices = [(part, metric) for part in summary.slices if (metric := part.find(summary.primary)) is not None]
    if slices:
        yield f"By slice, {metric_label(summary.primary)}; p is Holm's over the slices of a column:"
        yield ""
        rows = []
        for part, metric in slices[:_SLICE_ROWS]:
            p = metric.p_value if metric.p_adjusted is None else metric.p_adjusted
            name = markdown_text(f"{part.column}: {part.value}")
            rows.append([name, f"{part.queries:,}", *_metric_row(metric)[1:5], p_text(p)])
        yield from markdown_table(("slice", plural(summary.noun), *_COMPARED, "p"), rows)
        yield ""
        if len(slices) > _SLICE_ROWS:
            yield f"The {_SLICE_ROWS} largest of {len(slices)} slices are shown."
            yield ""
    if summary.tuned_latency is not None:
        yield from _latency(summary.base_latency, summary.tuned_latency)


def _scored(summary: Summary) -> str:
    if summary.text is None:
        return f"{summary.queries:,} held-out queries, ranked exactly over {summary.documents:,} documents."
    text = summary.text
    rows = f"{counted(summary.queries, 'held-out row', 'held-out rows')} with {text.scored_tokens:,} trained tokens"
    written = f"; both models wrote an answer to {text.generated:,} of them" if text.generated else ""
    return (
        f"{rows}, the same for both models{written}. Loss is the mean over rows of the mean negative "
        "log-likelihood of a trained token (nats), perplexity its exponential: lower is better."
    )


def _latency(base: Latency | None, tuned: Latency) -> Iterator[str]:
    threads = "" if tuned.threads is None else f" with {tuned.threads} threads"
    text = (
        f"Encoding one query took {tuned.p50_ms:.1f} ms (median) and {tuned.p95_ms:.1f} ms (95th "
        f"percentile) on {markdown_text(tuned.device) or 'the device of the run'}{threads}"
    )
    if base is not None:
        text += f"; the baseline took {base.p50_ms:.1f} ms and {base.p95_ms:.1f} ms"
    yield f"{text}."
    yield ""


def _metric_row(metric: MetricSummary) -> list[str]:
    return [
        metric_label(metric.metric),
        value_text(metric.base.mean),
        value_text(metric.tuned.mean),
        metric_gain_text(metric.metric, metric.gain.mean),
        interval_text(metric.gain),
        p_text(metric.p_value),
        f"{metric.wins} / {metric.ties} / {metric.losses}",
    ]


def gate_lines(verdict: Verdict) -> Iterator[str]:
    """Markdown of what was asked, and whether it was reached."""
    yield "## Gates"
    yield ""
    for gate in verdict.gates:
        asked = f"{metric_label(gate.metric)}: {bound_text(gate)}"
        yield f"- **{gate.outcome}** {markdown_text(asked)}; {markdown_text(gate.reason)}."
    yield ""
