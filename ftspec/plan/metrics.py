"""The closed table of metrics: what each kind of plan can measure, and how each metric is to be read.

`ndcg@10` is a measure and a depth; metrics of texts (`loss`, `exact_match`) have no depth.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LATENCY = "latency_ms"  # may be gated like a metric, but ranks nothing
DEFAULT_CONFIDENCE = 0.95  # of a gate on a gain, which always asks for an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTraits:
    """How a metric is to be read, and on which held-out rows it is defined.

    `least` and `most` bound its values (None: no bound). A row counts for a metric only if all that the
    metric needs is there: generated text, `answers`, RAFT facts.
    """

    name: str
    kind: str
    has_depth: bool = False  # written with a depth: ndcg@10
    higher_is_better: bool = True
    least: float = 0.0
    most: float | None = 1.0
    needs_generation: bool = False  # the model must write; else scoring the given text is enough
    needs_answers: bool = False  # rows with `answers`
    needs_raft: bool = False  # rows made from documents and questions


def _ranking(name: str) -> MetricTraits:
    return MetricTraits(name=name, kind="Embedding", has_depth=True)


_TABLE = (
    *map(_ranking, ("ndcg", "recall", "mrr", "success", "precision", "map")),
    MetricTraits(name="loss", kind="LLM", higher_is_better=False, most=None),
    MetricTraits(name="perplexity", kind="LLM", higher_is_better=False, least=1.0, most=None),
    MetricTraits(name="exact_match", kind="LLM", needs_generation=True, needs_answers=True),
    MetricTraits(name="token_f1", kind="LLM", needs_generation=True, needs_answers=True),
    MetricTraits(name="quotes_valid", kind="LLM", needs_generation=True, needs_raft=True),
    MetricTraits(name="oracle_cited", kind="LLM", needs_generation=True, needs_raft=True),
    MetricTraits(name="refused", kind="LLM", needs_generation=True, needs_raft=True),
    MetricTraits(name="answer_form", kind="LLM", needs_generation=True, needs_raft=True),
)
METRICS: Mapping[str, MetricTraits] = MappingProxyType({traits.name: traits for traits in _TABLE})
METRIC_NAMES = tuple(traits.name for traits in _TABLE if traits.has_depth)

_METRIC = re.compile(rf"({'|'.join(METRIC_NAMES)})@([1-9][0-9]{{0,6}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure over the first `k` documents of each ranking."""

    name: str
    k: int

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"


def parse_metric(text: str) -> Metric | None:
    """`ndcg@10` -> Metric(name="ndcg", k=10); None for anything else, also for other spellings."""
    match = _METRIC.fullmatch(text)
    return Metric(name=match[1], k=int(match[2])) if match else None


def metrics_of(kind: str) -> tuple[MetricTraits, ...]:
    """The metrics of a kind of spec (`Embedding`, `LLM`), in the order in which they are offered."""
    return tuple(traits for traits in _TABLE if traits.kind == kind)


def metric_traits(text: str) -> MetricTraits | None:
    """Traits of a metric as a spec names it (`ndcg@10`, `loss`); None for anything else."""
    metric = parse_metric(text)
    if metric is not None:
        return METRICS[metric.name]
    traits = METRICS.get(text)
    return None if traits is None or traits.has_depth else traits


def higher_is_better(text: str) -> bool:
    """False for `loss` and `perplexity`; their gain is what they fell by. `text` names a known metric."""
    traits = metric_traits(text)
    assert traits is not None, f"{text} is not a metric; `check_spec` refuses it"
    return traits.higher_is_better


def needs_generation(metrics: Iterable[str]) -> bool:
    """Must the model write answers for any of these?"""
    return any(traits.needs_generation for name in metrics if (traits := metric_traits(name)) is not None)
