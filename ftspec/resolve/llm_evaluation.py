"""The evaluation section of an LLM plan: what held-out rows can show, and whether answers have room."""

from ftspec.diagnostics import codes
from ftspec.plan.llm import LlmEvaluationPlan
from ftspec.plan.metrics import metric_traits
from ftspec.plan.model import Bootstrap
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import LlmDesk
from ftspec.resolve.evaluation import confidence_of, detectable_gain
from ftspec.spec.llm import generate_rows

TEXT_DEVIATION = 0.5  # of a gain per row between 0 and 1, where a quarter of the rows turn from 0 to 1


def resolve_llm_evaluation(desk: LlmDesk) -> LlmEvaluationPlan:
    wish = desk.spec.evaluation
    primary = wish.metrics[0]
    desk.decide(
        "evaluation.primary",
        primary,
        Reason.FIRST_METRIC,
        by="resolve_llm_evaluation",
        facts={"metrics": tuple(wish.metrics)},
        at=("evaluation", "metrics"),
    )
    rows = generate_rows(desk.spec)
    if wish.generate_rows is None:
        desk.decide(
            "evaluation.generate_rows",
            rows,
            Reason.ANSWERS_FOR_METRICS,
            by="resolve_llm_evaluation",
            facts={"metrics": tuple(wish.metrics)},
            at=("evaluation", "metrics"),
        )
    _check_positions(desk, rows)
    _check_defined(desk, rows)
    return LlmEvaluationPlan(
        metrics=tuple(wish.metrics),
        primary=primary,
        slices=tuple(wish.slices),
        baseline="base",
        baseline_facts=None,
        bootstrap=Bootstrap(**wish.bootstrap.model_dump()),
        detectable_gain=_detectable_gain(desk, primary, rows),
        generate_rows=rows,
        max_new_tokens=wish.max_new_tokens,
    )


def _check_defined(desk: LlmDesk, generated: int) -> None:
    """What decides the verdict must be defined on some held-out row. Rows that are scored but not written to
    are known only after the split: then `apply` says the same before it trains."""
    facts = desk.data
    refusals = facts.raft.refusals if facts.raft is not None else 0
    for name in dict.fromkeys((desk.spec.evaluation.metrics[0], *desk.spec.gates)):
        traits = metric_traits(name)
        if traits is None or not traits.needs_generation or generated == 0:
            continue
        lacking = ""
        if traits.needs_answers and not facts.test_with_answers:
            lacking = "has `answers` to compare with"
        elif traits.needs_raft and not facts.test_raft:
            lacking = "was made from documents (`type: raft`)"
        elif name == "refused" and not refusals:
            lacking = "asks for a refusal (`when_absent: refuse`)"
        if lacking:
            desk.fault(
                codes.METRIC_WITHOUT_ROWS,
                f"`{name}`: none of the {facts.test_rows:,} held-out rows {lacking}",
                *(("gates", name) if name in desk.spec.gates else ("evaluation", "metrics")),
                help="change the data, or leave the metric and its gate away",
            )


def _check_positions(desk: LlmDesk, generated: int) -> None:
    """The longest prompt and its answer must have positions, or generation fails after hours of training."""
    wish, facts = desk.spec.evaluation, desk.data
    if generated == 0 or facts.longest_prompt + wish.max_new_tokens <= desk.model.max_positions:
        return
    room = desk.model.max_positions - facts.longest_prompt
    desk.fault(
        codes.SEQUENCE_TOO_LONG,
        f"the longest held-out prompt has {facts.longest_prompt} tokens, its answer may have {wish.max_new_tokens}; "
        f"{desk.model.id} has {desk.model.max_positions} positions",
        "evaluation",
        "max_new_tokens",
        help=f"use at most {room}, or a smaller `model.max_seq_length`"
        if room > 0
        else "use a smaller `model.max_seq_length`, so that longer rows are dropped",
    )


def _detectable_gain(desk: LlmDesk, primary: str, generated: int) -> float | None:
    """None for losses: how much they spread is not known before they are measured."""
    traits = metric_traits(primary)
    assert traits is not None, primary
    if traits.most is None:
        return None
    defined = desk.data.test_raft if traits.needs_raft else desk.data.test_with_answers
    rows = min(defined, generated)
    confidence = confidence_of(desk, primary)
    gain = round(detectable_gain(rows, confidence, TEXT_DEVIATION), 6)
    desk.decide(
        "evaluation.detectable_gain",
        gain,
        Reason.POWER_OF_TEST,
        by="resolve_llm_evaluation",
        facts={"test_rows": rows, "deviation": TEXT_DEVIATION, "confidence": confidence},
    )
    return gain
