"""Metrics, and gates on them."""

import re

from ftspec.diagnostics.codes import BAD_VALUE, GATE_WITHOUT_METRIC, KEY_NEEDS_ANOTHER, UNKNOWN_METRIC
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.metrics import LATENCY, METRIC_NAMES, Metric, parse_metric
from ftspec.source.document import Document
from ftspec.spec.evaluation import Evaluation, Gate
from ftspec.spec.parts import Parts
from ftspec.spec.suggest import listed, nearest, shorten

Path = tuple[str | int, ...]

_OTHER_NAMES = {
    "accuracy": "success", "acc": "success", "hit": "success", "hits": "success", "hitrate": "success",
    "hit_rate": "success", "hit_ratio": "success", "rr": "mrr", "mean_reciprocal_rank": "mrr", "p": "precision",
    "prec": "precision", "r": "recall", "mean_average_precision": "map", "ap": "map", "dcg": "ndcg", "ndgc": "ndcg",
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
        metric = _known(name, (*above, index), document, found)
        if name in seen:
            found.add(
                BAD_VALUE, f"`{name}` stands in the list already", primary=document.span((*above, index))
            )
        seen.add(name)
        if metric is not None and metric.k > parts.evaluation.top_k:
            _too_deep(metric, parts.evaluation, index, document, found)


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


def early_stopping(parts: Parts, document: Document, found: Diagnostics) -> None:
    if (
        parts.train is None
        or parts.train.early_stopping is None
        or parts.train.early_stopping.metric == "loss"
    ):
        return
    path = ("train", "early_stopping", "metric")
    metric = _known(parts.train.early_stopping.metric, path, document, found, also=("loss",))
    if metric is not None and parts.evaluation is not None and metric.k > parts.evaluation.top_k:
        found.add(
            UNKNOWN_METRIC,
            f"`{metric}` looks deeper than `evaluation.top_k` {parts.evaluation.top_k}",
            primary=document.span(path),
        )


def gates(parts: Parts, document: Document, found: Diagnostics) -> None:
    for name, gate in (parts.gates or {}).items():
        path = ("gates", name)
        if name == LATENCY:
            _latency_gate(gate, path, parts.evaluation, document, found)
            continue
        metric = _known(name, path, document, found, also=(LATENCY,), key=True)
        if metric is not None and parts.evaluation is not None and name not in parts.evaluation.metrics:
            found.add(
                GATE_WITHOUT_METRIC,
                f"`{name}` is not among `evaluation.metrics`",
                primary=document.span(path, key=True),
                help=f"add `{name}` to `evaluation.metrics`, or remove the gate",
            )
        if metric is not None:
            _metric_gate(gate, path, document, found)


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
    for name, low in (("min", 0.0), ("max", 0.0), ("min_gain", -1.0)):
        value = getattr(gate, name)
        if value is not None and not low <= value <= 1:
            help = "scores are between 0 and 1; 70 % is `0.7`" if abs(value) <= 100 else ""
            found.add(
                BAD_VALUE,
                f"`{path[-1]}` lies between 0 and 1, so `{name}: {value:g}` decides nothing",
                primary=document.span((*path, name)),
                help=help,
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
    path: Path,
    document: Document,
    found: Diagnostics,
    *,
    also: tuple[str, ...] = (),
    key: bool = False,
) -> Metric | None:
    metric = parse_metric(name)
    if metric is None:
        meant = suggest_metric(name, also)
        forms = listed([*(f"{known}@k" for known in METRIC_NAMES), *also])
        help = f"did you mean `{meant}`?" if meant else f"known are {forms}"
        found.add(
            UNKNOWN_METRIC,
            f"`{shorten(name, 40)}` is not a metric",
            primary=document.span(path, key=key),
            help=help,
        )
    return metric


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
