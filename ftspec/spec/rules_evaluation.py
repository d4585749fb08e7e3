"""Metrics, and gates on them."""

import math
import re

from ftspec.diagnostics.codes import BAD_VALUE, GATE_WITHOUT_METRIC, KEY_NEEDS_ANOTHER, UNKNOWN_METRIC
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.metrics import LATENCY, METRIC_NAMES, Metric, metric_traits, metrics_of, parse_metric
from ftspec.source.document import Document
from ftspec.spec.evaluation import Evaluation, Gate
from ftspec.spec.parts import EmbeddingParts, LlmParts, Parts
from ftspec.spec.suggest import listed, nearest, shorten

Path = tuple[str | int, ...]

_OTHER_NAMES = {
    "accuracy": "success", "acc": "success", "hit": "success", "hits": "success", "hitrate": "success",
    "hit_rate": "success", "hit_ratio": "success", "rr": "mrr", "mean_reciprocal_rank": "mrr", "p": "precision",
    "prec": "precision", "r": "recall", "mean_average_precision": "map", "ap": "map", "dcg": "ndcg", "ndgc": "ndcg",
}  # fmt: skip
_OTHER_TEXT_NAMES = {
    "em": "exact_match", "accuracy": "exact_match", "f1": "token_f1", "ppl": "perplexity", "nll": "loss",
    "eval_loss": "loss", "cross_entropy": "loss", "citations": "quotes_valid", "refusal": "refused",
}  # fmt: skip
_SPELLING = re.compile(
    r"(?:cosine_|dot_|eval_)?([a-z_]+?)[ _-]*(?:@|_at_|:|\.)?[ _-]*(?:k=)?([0-9]{1,6})?(?:\.0+)?"
)


def metrics(parts: Parts, document: Document, found: Diagnostics) -> None:
    if parts.evaluation is None:
        return
    above = ("evaluation", "metrics")
    seen: set[str] = set()
    for index, name in enumerate(parts.evaluation.metrics):
        known = _known(name, _kind(parts), (*above, index), document, found)
        if name in seen:
            found.add(
                BAD_VALUE, f"`{name}` stands in the list already", primary=document.span((*above, index))
            )
        seen.add(name)
        metric = parse_metric(name)
        if not known or metric is None or not isinstance(parts.evaluation, Evaluation):
            continue
        if metric.k > parts.evaluation.top_k:
            _too_deep(metric, parts.evaluation, index, document, found)


def _kind(parts: Parts) -> str:
    return "LLM" if isinstance(parts, LlmParts) else "Embedding"


def _too_deep(
    metric: Metric, evaluation: Evaluation, index: int, document: Document, found: Diagnostics
) -> None:
    item: Path = ("evaluation", "metrics", index)
    written = document.has(item)
    path: Path = item if written else ("evaluation", "top_k")
    which = f"`{metric}`" if written else f"the default metric `{metric}`"
    found.add(
        UNKNOWN_METRIC,
        f"{which} looks deeper than the rankings, which end at `evaluation.top_k` {evaluation.top_k}",
        primary=document.span(path),
        help=f"write `evaluation.top_k: {metric.k}`, or a smaller k",
    )


def early_stopping(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if (
        parts.train is None
        or parts.train.early_stopping is None
        or parts.train.early_stopping.metric == "loss"
    ):
        return
    path = ("train", "early_stopping", "metric")
    name = parts.train.early_stopping.metric
    metric = parse_metric(name) if _known(name, "Embedding", path, document, found, also=("loss",)) else None
    if metric is not None and parts.evaluation is not None and metric.k > parts.evaluation.top_k:
        found.add(
            UNKNOWN_METRIC,
            f"`{metric}` looks deeper than `evaluation.top_k` {parts.evaluation.top_k}",
            primary=document.span(path),
        )


def gates(parts: Parts, document: Document, found: Diagnostics) -> None:
    kind = _kind(parts)
    also = (LATENCY,) if kind == "Embedding" else ()
    for name, gate in (parts.gates or {}).items():
        if name in also:
            continue  # `latency` judges it
        path = ("gates", name)
        if not _known(name, kind, path, document, found, also=also, key=True):
            continue
        if parts.evaluation is not None and name not in parts.evaluation.metrics:
            found.add(
                GATE_WITHOUT_METRIC,
                f"`{name}` is not among `evaluation.metrics`",
                primary=document.span(path, key=True),
                help=f"add `{name}` to `evaluation.metrics`, or remove the gate",
            )
        _metric_gate(gate, path, document, found)


def latency(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    gate = (parts.gates or {}).get(LATENCY)
    if gate is not None:
        _latency_gate(gate, ("gates", LATENCY), parts.evaluation, document, found)


def _metric_gate(gate: Gate, path: Path, document: Document, found: Diagnostics) -> None:
    for name in ("p50_max", "p95_max"):
        if getattr(gate, name) is not None:
            found.add(
                BAD_VALUE,
                f"`{name}` bounds a latency, and `{path[-1]}` is none",
                primary=document.span((*path, name), key=True),
                help=f"write it under `gates.{LATENCY}`",
            )
    if gate.min is None and gate.max is None and gate.min_gain is None:
        if gate.p50_max is None and gate.p95_max is None:
            _empty(path, "`min`, `max` or `min_gain`", document, found)
        return
    traits = metric_traits(str(path[-1]))
    assert traits is not None, path
    least, most = traits.least, math.inf if traits.most is None else traits.most
    for name, low in (("min", least), ("max", least), ("min_gain", least - most)):
        value = getattr(gate, name)
        if value is not None and not low <= value <= most:
            lies = f"between {least:g} and {most:g}" if traits.most is not None else f"above {least:g}"
            found.add(
                BAD_VALUE,
                f"`{path[-1]}` lies {lies}, so `{name}: {value:g}` decides nothing",
                primary=document.span((*path, name)),
                help="scores are between 0 and 1; 70 % is `0.7`" if most == 1 and abs(value) <= 100 else "",
            )
    if gate.min is not None and gate.max is not None and gate.min > gate.max:
        found.add(
            BAD_VALUE,
            f"at least {gate.min:g} and at most {gate.max:g}: nothing passes",
            primary=document.span((*path, "max")),
        )


def _latency_gate(
    gate: Gate, path: Path, evaluation: Evaluation | None, document: Document, found: Diagnostics
) -> None:
    for name in ("min", "max", "min_gain", "confidence"):
        if getattr(gate, name) is not None:
            found.add(
                BAD_VALUE,
                f"`{name}` does not bound a latency",
                primary=document.span((*path, name), key=True),
                help="write `p50_max` or `p95_max`, in milliseconds",
            )
    if gate.p50_max is None and gate.p95_max is None:
        if gate == Gate():
            _empty(path, "`p50_max` or `p95_max`", document, found)
    elif evaluation is not None and evaluation.latency_queries == 0:
        found.add(
            KEY_NEEDS_ANOTHER,
            "no latency is measured: `evaluation.latency_queries` is 0",
            primary=document.span(path, key=True),
            help="write `evaluation.latency_queries: 100`",
        )


def _empty(path: Path, keys: str, document: Document, found: Diagnostics) -> None:
    found.add(
        BAD_VALUE,
        f"the gate on `{path[-1]}` bounds nothing",
        primary=document.span(path, key=True),
        help=f"add {keys}",
    )


def _known(
    name: str,
    kind: str,
    path: Path,
    document: Document,
    found: Diagnostics,
    *,
    also: tuple[str, ...] = (),
    key: bool = False,
) -> bool:
    traits = metric_traits(name)
    if traits is not None and traits.kind == kind:
        return True
    forms = [f"{each.name}@k" if each.has_depth else each.name for each in metrics_of(kind)]
    if traits is not None:
        detail, help = (
            f"`{name}` is a metric of kind {traits.kind}",
            f"known here are {listed([*forms, *also])}",
        )
    else:
        meant = suggest_metric(name, also) if kind == "Embedding" else _suggest_text_metric(name, forms)
        detail = f"`{shorten(name, 40)}` is not a metric"
        help = f"did you mean `{meant}`?" if meant else f"known are {listed([*forms, *also])}"
    found.add(UNKNOWN_METRIC, detail, primary=document.span(path, key=key), help=help)
    return False


def _suggest_text_metric(name: str, known: list[str]) -> str | None:
    word = name[:60].strip().lower().replace("-", "_").replace(" ", "_")
    return _OTHER_TEXT_NAMES.get(word) or nearest(word, known)


def suggest_metric(name: str, also: tuple[str, ...] = ()) -> str | None:
    """`NDCG10`, `recall_at_5`, `hit@3` -> `ndcg@10`, `recall@5`, `success@3`."""
    word = name[:60].strip().lower()
    match = _SPELLING.fullmatch(word)
    if match is None:
        return nearest(word, also)
    base, k = match[1].strip("_"), match[2] or "10"
    known = _OTHER_NAMES.get(base) or nearest(base, METRIC_NAMES)
    if known is None or int(k) == 0:
        return nearest(word, also)
    return f"{known}@{int(k)}"
