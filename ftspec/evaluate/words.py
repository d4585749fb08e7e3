"""Results in words: what a person is told, the same in terminal, Markdown and model card."""

import re
from collections.abc import Sequence

from ftspec.evaluate.evidence import Estimate, MetricSummary, Summary, plural
from ftspec.evaluate.gates import GateResult, Outcome
from ftspec.plan.metrics import LATENCY, metric_traits, parse_metric

_LABELS = {
    "ndcg": "nDCG",
    "recall": "Recall",
    "mrr": "MRR",
    "success": "Success",
    "precision": "Precision",
    "map": "MAP",
}
_TEXT_LABELS = {
    LATENCY: "latency",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "quotes_valid": "quotes valid",
    "oracle_cited": "oracle cited",
    "refused": "refused rightly",
    "answer_form": "answer form",
}
_BOUNDS = {
    "min": "at least",
    "max": "at most",
    "min_gain": "gain above",
    "p50_max": "median at most",
    "p95_max": "95th percentile at most",
}


def metric_label(name: str) -> str:
    """`ndcg@10` -> nDCG@10, `exact_match` -> exact match."""
    metric = parse_metric(name)
    if metric is None:
        return _TEXT_LABELS.get(name, name)
    return f"{_LABELS[metric.name]}@{metric.k}"


def value_text(value: float) -> str:
    """A metric value to three digits: with some hundred queries the fourth is noise."""
    return _number(value, "")


def gain_text(value: float) -> str:
    """A difference, always with its sign; what rounds to nothing has none."""
    text = _number(value, "+")
    return "0.000" if text in {"+0.000", "-0.000"} else text


def _number(value: float, sign: str) -> str:
    """Perplexity knows no bound."""
    size = abs(value)
    return f"{value:{sign}{'.3f' if size < 100 else ',.1f' if size < 100_000 else '.3g'}}"


def metric_gain_text(metric: str, gain: float) -> str:
    """A gain beside the values of both models. Where lower is better, in words: a sign could be read
    either way."""
    if _higher_is_better(metric):
        return gain_text(gain)
    text = gain_text(gain)
    return text if text == "0.000" else f"{'better' if gain > 0 else 'worse'} by {text[1:]}"


def metric_change_text(metric: str, gain: Estimate) -> str:
    """How far a metric moved, with its interval: "-0.432 [-0.463, -0.401]" for a loss that fell."""
    if _higher_is_better(metric):
        return f"{gain_text(gain.mean)} {interval_text(gain)}"
    change = Estimate(mean=-gain.mean, low=-gain.high, high=-gain.low)
    return f"{gain_text(change.mean)} {interval_text(change)}"


def _higher_is_better(metric: str) -> bool:
    """Also of a name that this version does not know, in evidence of another one."""
    traits = metric_traits(metric)
    return traits is None or traits.higher_is_better


def improvement(metric: str, base: float, tuned: float) -> float:
    """What the metric gained from `base` to `tuned`: positive is better."""
    return tuned - base if _higher_is_better(metric) else base - tuned


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
    number = summary.queries if metric.rows is None else metric.rows
    return (
        f"{comparison(metric)}: {metric_label(metric.metric)} {metric_change_text(metric.metric, metric.gain)} "
        f"on {counted(number, f'unseen {summary.noun}', f'unseen {plural(summary.noun)}')}"
    )


def counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def unmeasured(summary: Summary) -> list[str]:
    """For each reason, "not measured: exact match, token F1 (why)"."""
    by_reason: dict[str, list[str]] = {}
    for each in () if summary.text is None else summary.text.unmeasured:
        by_reason.setdefault(each.reason, []).append(metric_label(each.metric))
    return [f"not measured: {', '.join(labels)} ({reason})" for reason, labels in by_reason.items()]


def bound_text(gate: GateResult) -> str:
    """What a gate asks: "gain above 0 at 95 % confidence"."""
    unit = " ms" if gate.metric == LATENCY else ""
    asked = f"{_BOUNDS[gate.bound]} {gate.limit:g}{unit}"
    return asked if gate.confidence is None else f"{asked} at {gate.confidence * 100:g} % confidence"


def consequence(outcome: Outcome, noun: str = "query") -> str:
    """What a verdict means for the model; `noun` as of the summary."""
    return {
        Outcome.PASSED: "All gates passed.",
        Outcome.FAILED: "A gate failed: the baseline stays in place.",
        Outcome.INCONCLUSIVE: f"The held-out {plural(noun)} cannot decide: the baseline stays in place.",
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
