"""The evaluation and gates sections of a plan: what is measured, and what can be told from noise."""

import math
from statistics import NormalDist

from ftspec.diagnostics import codes
from ftspec.plan.embedding import EmbeddingEvaluationPlan, Matryoshka
from ftspec.plan.facts import ModelFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.metrics import DEFAULT_CONFIDENCE
from ftspec.plan.model import Bootstrap, Gate
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import AnyDesk, EmbeddingDesk
from ftspec.spec.evaluation import Gate as SpecGate
from ftspec.spec.gates import effective_gates

DEVIATION = 0.25  # of a per-query gain in nDCG@10
POWER = 0.8


def detectable_gain(
    num_queries: int, confidence: float = DEFAULT_CONFIDENCE, deviation: float = DEVIATION
) -> float:
    """Smallest true mean gain whose two-sided interval lies above zero with 80 % power: what a gate
    `min_gain: 0` of this confidence asks.

    (z((1 + confidence) / 2) + z(.80)) * deviation / sqrt(queries), with a per-query deviation of .25
    (that of nDCG@10):
    .070 at 100 queries, .035 at 400.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2) + NormalDist().inv_cdf(POWER)
    return z * deviation / math.sqrt(max(num_queries, 1))


def resolve_evaluation(
    desk: EmbeddingDesk, matryoshka: Matryoshka | None, baseline_facts: ModelFacts | None
) -> EmbeddingEvaluationPlan:
    """`baseline_facts` are those of another baseline than the untuned base model."""
    wish = desk.spec.evaluation
    assert (wish.baseline == "base") == (baseline_facts is None), "the baseline's facts are missing"
    if (
        baseline_facts is not None
        and baseline_facts.needs_remote_code
        and not desk.spec.model.trust_remote_code
    ):
        desk.fault(
            codes.REMOTE_CODE,
            f"the baseline {baseline_facts.id} brings Python code of its own, which would run on this machine",
            "evaluation",
            "baseline",
            help="read that code, then write `model.trust_remote_code: true`; or choose another baseline",
        )
    primary = wish.metrics[0]
    desk.decide(
        "evaluation.primary",
        primary,
        Reason.FIRST_METRIC,
        by="resolve_evaluation",
        facts={"metrics": tuple(wish.metrics)},
        at=("evaluation", "metrics"),
    )
    confidence = confidence_of(desk, primary)
    gain = round(detectable_gain(desk.data.test_queries, confidence), 6)
    desk.decide(
        "evaluation.detectable_gain",
        gain,
        Reason.POWER_OF_TEST,
        by="resolve_evaluation",
        facts={
            "test_queries": desk.data.test_queries,
            "deviation": DEVIATION,
            "power": POWER,
            "confidence": confidence,
        },
    )
    width = desk.model.embedding_dimension
    dimensions = (width,) if matryoshka is None else matryoshka.dimensions
    desk.decide(
        "evaluation.dimensions",
        dimensions,
        Reason.WIDTH_AND_PREFIXES,
        by="resolve_evaluation",
        facts={"embedding_dimension": width},
        at=("train", "matryoshka"),
    )
    return EmbeddingEvaluationPlan(
        metrics=tuple(wish.metrics),
        primary=primary,
        top_k=wish.top_k,
        slices=tuple(wish.slices),
        baseline=wish.baseline,
        baseline_facts=baseline_facts,
        bootstrap=Bootstrap(**wish.bootstrap.model_dump()),
        latency_queries=wish.latency_queries,
        detectable_gain=gain,
        dimensions=dimensions,
    )


def confidence_of(desk: AnyDesk, primary: str) -> float:
    """Of the gate on the primary metric."""
    gate: SpecGate | None = desk.spec.gates.get(primary)
    return gate.confidence if gate is not None and gate.confidence is not None else DEFAULT_CONFIDENCE


def resolve_gates(desk: AnyDesk) -> FrozenMap[Gate]:
    """The gates of the spec; where none asks for a gain, the primary metric must beat the baseline."""
    gates = effective_gates(desk.spec)
    primary = desk.spec.evaluation.metrics[0]
    written = desk.spec.gates.get(primary)
    if (
        primary in gates
        and gates[primary].min_gain is not None
        and (written is None or written.min_gain is None)
    ):
        settled = gates[primary].confidence is not None and (written is None or written.confidence is None)
        added = ("min_gain", "confidence") if settled else ("min_gain",)
        for bound in added:
            desk.decide(
                f"gates.{primary}.{bound}",
                getattr(gates[primary], bound),
                Reason.DEFAULT_GATE,
                by="resolve_gates",
                facts={"baseline": getattr(desk.spec.evaluation, "baseline", "base")},
                at=("gates",),
            )
    return FrozenMap({metric: Gate(**gate.model_dump()) for metric, gate in gates.items()})
