"""Results in words: what a person is told, the same in terminal, Markdown and model card."""

import re
from collections.abc import Sequence

from ftspec.evaluate.evidence import Estimate, MetricSummary, Summary
from ftspec.evaluate.gates import GateResult, Outcome
from ftspec.plan.metrics import LATENCY, parse_metric

_LABELS = {
    "ndcg": "nDCG",
    "recall": "Recall",
    "mrr": "MRR",
    "success": "Success",
    "precision": "Precision",
    "map": "MAP",
}
_BOUNDS = {
    "min": "at least",
    "max": "at most",
    "min_gain": "gain above",
    "p50_max": "median at most",
    "p95_max": "95th percentile at most",
}


def metric_label(name: str) -> str:
    """`ndcg@10` -> nDCG@10."""
    metric = parse_metric(name)
    if metric is None:
        return "latency" if name == LATENCY else name
    return f"{_LABELS[metric.name]}@{metric.k}"


def value_text(value: float) -> str:
    """A metric value to three digits: with some hundred queries the fourth is noise."""
    return f"{value:.3f}"


def gain_text(value: float) -> str:
    """A difference, always with its sign; what rounds to nothing has none."""
    text = f"{value:+.3f}"
    return "0.000" if text in {"+0.000", "-0.000"} else text


def interval_text(estimate: Estimate) -> str:
    return f"[{gain_text(estimate.low)}, {gain_text(estimate.high)}]"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison(metric: MetricSummary) -> str:
    """better | worse | the same | cannot tell, by the interval of the gain."""
    if metric.wins == metric.losses == 0:
        return "the same"
    if metric.gain.low > 0:
        return "better"
    if metric.gain.high < 0:
        return "worse"
    return "cannot tell"


def finding(summary: Summary) -> str:
    """One sentence on the primary metric: "better: nDCG@10 +0.061 [+0.040, +0.081] on 500 unseen queries"."""
    metric = summary.primary_metric
    noun = "query" if summary.queries == 1 else "queries"
    return (
        f"{comparison(metric)}: {metric_label(metric.metric)} {gain_text(metric.gain.mean)} "
        f"{interval_text(metric.gain)} on {summary.queries:,} unseen {noun}"
    )


def bound_text(gate: GateResult) -> str:
    """What a gate asks: "gain above 0 at 95 % confidence"."""
    unit = " ms" if gate.metric == LATENCY else ""
    asked = f"{_BOUNDS[gate.bound]} {gate.limit:g}{unit}"
    return asked if gate.confidence is None else f"{asked} at {gate.confidence * 100:g} % confidence"


def consequence(outcome: Outcome) -> str:
    """What a verdict means for the model."""
    return {
        Outcome.PASSED: "All gates passed.",
        Outcome.FAILED: "A gate failed: the baseline stays in place.",
        Outcome.INCONCLUSIVE: "The held-out queries cannot decide: the baseline stays in place.",
    }[outcome]


def excerpt(text: str, width: int) -> str:
    """One line of at most `width` characters, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def markdown_text(text: str) -> str:
    """`text` as one line that Markdown shows as it is."""
    line = excerpt(text, 10_000)
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|#~&" else char for char in line)
    if escaped[:1] in ("-", "+", "="):
        return f"\\{escaped}"
    digits = len(escaped) - len(escaped.lstrip("0123456789"))
    if digits and re.match(r"[.)](\s|$)", escaped[digits:]):  # a numbered list otherwise
        return f"{escaped[:digits]}\\{escaped[digits:]}"
    return escaped


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: int = 1) -> list[str]:
    """Lines of a table; columns from number `right` on are right-aligned. Cells are Markdown already."""
    rule = ["---" if place < right else "---:" for place in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]
