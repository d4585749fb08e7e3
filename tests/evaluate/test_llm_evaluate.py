"""Losses and written answers in, evidence out."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.diagnostics.model import FtspecError
from ftspec.evaluate.compare import compare, estimates, gains, pairs
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import Evidence, TextExample, read_evidence
from ftspec.evaluate.gates import Outcome, judge
from ftspec.evaluate.text import check_measurable
from ftspec.plan.llm import LlmPlan
from ftspec.plan.llm_data import REFUSAL
from ftspec.plan.model import Bootstrap, Gate
from tests.example_text import (
    ROWS,
    cited,
    example_text_plan,
    row_id,
    trained_answer,
    write_scores,
    write_text_split,
)

ALL = (
    "loss", "perplexity", "exact_match", "token_f1", "quotes_valid", "oracle_cited", "refused", "answer_form",
)  # fmt: skip
BASE = [2.0 + 0.1 * (number % 5) for number in range(ROWS)]
TUNED = [loss - 0.3 - 0.02 * (number % 3) for number, loss in enumerate(BASE)]
LEARNED = [trained_answer(number) for number in range(ROWS)]
NOTHING = ["nothing"] * ROWS


def run(
    folder: Path,
    plan: LlmPlan,
    *,
    base: list[float] = BASE,
    tuned: list[float] = TUNED,
    wrote: tuple[list[str], list[str]] | None = (NOTHING, LEARNED),
) -> Evidence:
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    answers = wrote or (None, None)
    return evaluate(
        plan,
        write_text_split(folder / "split"),
        write_scores(folder / "base", base, answers[0]),
        write_scores(folder / "tuned", tuned, answers[1]),
        out,
    )


def test_loss_and_perplexity(tmp_path: Path) -> None:
    summary = run(tmp_path, example_text_plan()).summary
    loss, perplexity = summary.metric("loss"), summary.metric("perplexity")
    base, tuned = math.fsum(BASE) / ROWS, math.fsum(TUNED) / ROWS
    assert loss.base.mean == pytest.approx(base)
    assert loss.gain.mean == pytest.approx(base - tuned)
    assert 0 < loss.gain.low < loss.gain.mean < loss.gain.high
    assert perplexity.base.mean == pytest.approx(math.exp(base))
    assert perplexity.gain.mean == pytest.approx(math.exp(base) - math.exp(tuned))
    assert (perplexity.base.low, perplexity.base.high) == pytest.approx(
        (math.exp(loss.base.low), math.exp(loss.base.high)), rel=1e-3
    )
    assert perplexity.p_value == loss.p_value
    assert (perplexity.wins, perplexity.ties, perplexity.losses) == (ROWS, 0, 0)
    assert (summary.documents, summary.top_k, summary.dimensions) == (None, None, ())
    assert summary.base_latency is summary.tuned_latency is None
    assert summary.text is not None
    assert (summary.text.scored_tokens, summary.text.generated) == (ROWS * 4, ROWS)


def test_each_metric_counts_its_own_rows(tmp_path: Path) -> None:
    summary = run(tmp_path, example_text_plan(metrics=ALL)).summary
    quarter = ROWS // 4
    expected = {
        "loss": ROWS,
        "perplexity": ROWS,
        "exact_match": 2 * quarter,  # cited ones, and prompt and completion; not refusals
        "token_f1": 2 * quarter,
        "quotes_valid": quarter,
        "oracle_cited": quarter,
        "refused": 2 * quarter,
        "answer_form": 2 * quarter,
    }
    assert {metric.metric: metric.rows for metric in summary.metrics} == expected
    assert [metric.metric for metric in summary.metrics] == list(ALL)
    for metric in summary.metrics[2:]:
        assert metric.tuned.mean == 1, metric.metric
    assert summary.metric("refused").base.mean == 0.5  # it never refuses
    assert summary.metric("token_f1").base.mean == 0
    assert summary.text is not None
    assert summary.text.unmeasured == ()


def test_losses_alone_are_enough(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=("loss", "exact_match"), generate_rows=0)
    evidence = run(tmp_path, plan, wrote=None)
    assert [metric.metric for metric in evidence.summary.metrics] == ["loss"]
    assert evidence.summary.text is not None
    (unmeasured,) = evidence.summary.text.unmeasured
    assert unmeasured.metric == "exact_match"
    assert "generate_rows" in unmeasured.reason
    assert isinstance(evidence.summary.improvements[0], TextExample)
    assert evidence.summary.improvements[0].tuned_answer is None
    assert not (tmp_path / "out/answers.jsonl").exists()
    assert read_evidence(tmp_path / "out") == evidence


def test_what_was_written_is_read_back_and_repeats(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=ALL, slices=("topic",))
    evidence = run(tmp_path / "a", plan)
    run(tmp_path / "b", plan)
    assert read_evidence(tmp_path / "a/out") == evidence
    for name in ("scores.jsonl", "summary.json", "answers.jsonl"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a/out/scores.jsonl").read_text().splitlines()]
    assert {row["dimension"] for row in rows} == {0}
    assert rows[0]["slices"] == {"topic": "a"}


def test_slices_lack_what_none_of_their_rows_defines(tmp_path: Path) -> None:
    summary = run(tmp_path, example_text_plan(metrics=("loss", "quotes_valid"), slices=("topic",))).summary
    assert [(part.value, part.queries) for part in summary.slices] == [("b", 20), ("a", 10), ("c", 10)]
    assert [part.find("quotes_valid") is not None for part in summary.slices] == [False, True, False]
    assert all(part.metric("loss").p_adjusted is not None for part in summary.slices)
    # One slice alone is no family.
    metric = summary.slices[1].metric("quotes_valid")
    assert metric.p_adjusted == metric.p_value


def test_only_the_first_rows_are_generated(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=("loss", "token_f1"), generate_rows=8)
    summary = run(tmp_path, plan, wrote=(NOTHING[:8], LEARNED[:8])).summary
    assert summary.metric("token_f1").rows == 4
    assert summary.metric("loss").rows == ROWS
    shown = {example.row_id for example in summary.improvements if isinstance(example, TextExample)}
    assert shown <= {row_id(number) for number in range(8)}


def test_examples_show_both_answers(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=("token_f1", "loss"), primary="token_f1")
    wrote = [*LEARNED]
    wrote[3] = "said something else"
    summary = run(tmp_path, plan, wrote=([LEARNED[3]] * 4 + NOTHING[4:], wrote)).summary
    best, (worst,) = summary.improvements, summary.regressions
    assert isinstance(worst, TextExample)
    assert (worst.row_id, worst.text, worst.expected) == (row_id(3), "say 3", "said 3")
    assert (worst.base_answer, worst.tuned_answer) == ("said 3", "said something else")
    assert len(best) == 3
    assert isinstance(best[0], TextExample)
    assert best[0].text.startswith("Which value")
    assert best[0].tuned_answer == cited(0)


def test_a_long_prompt_shows_its_end(tmp_path: Path) -> None:
    base = [2.0] * ROWS
    tuned = [1.0 if number == 1 else 2.0 for number in range(ROWS)]
    (example,) = run(tmp_path, example_text_plan(), base=base, tuned=tuned).summary.improvements
    assert example.text.startswith("…")
    assert example.text.endswith("word 1")
    assert len(example.text) == 200


@pytest.mark.parametrize(
    ("gate", "tuned", "outcome"),
    [
        (Gate(min_gain=0.0), TUNED, Outcome.PASSED),
        (Gate(min_gain=0.25), TUNED, Outcome.PASSED),
        (Gate(min_gain=0.5), TUNED, Outcome.FAILED),
        (Gate(min_gain=0.0), [loss + 0.1 for loss in BASE], Outcome.FAILED),
        (Gate(min_gain=0.0), BASE, Outcome.FAILED),
        (Gate(min_gain=-0.2), [loss + 0.1 for loss in BASE], Outcome.PASSED),
        (Gate(min_gain=0.0), [loss + (0.3 if n % 2 else -0.3) for n, loss in enumerate(BASE)], Outcome.INCONCLUSIVE),
        (Gate(max=2.0), TUNED, Outcome.PASSED),
        (Gate(max=1.5), TUNED, Outcome.FAILED),
        (Gate(max=2.0, confidence=0.95), TUNED, Outcome.PASSED),
        (Gate(max=1.5, confidence=0.95), TUNED, Outcome.FAILED),
        (Gate(min=1.0), TUNED, Outcome.PASSED),
    ],
)  # fmt: skip
def test_gates_on_loss(tmp_path: Path, gate: Gate, tuned: list[float], outcome: Outcome) -> None:
    plan = example_text_plan(gates={"loss": gate})
    evidence = run(tmp_path, plan, tuned=tuned)
    (result,) = judge(plan, evidence).gates
    assert result.outcome is outcome, result.reason


def test_gates_on_perplexity_have_the_intervals_of_the_summary(tmp_path: Path) -> None:
    plan = example_text_plan(gates={"perplexity": Gate(min_gain=1.0, max=9.0, confidence=0.95)})
    evidence = run(tmp_path, plan)
    perplexity = evidence.summary.metric("perplexity")
    level, gain = judge(plan, evidence).gates
    assert (level.interval, gain.interval) == (
        (perplexity.tuned.low, perplexity.tuned.high),
        (perplexity.gain.low, perplexity.gain.high),
    )
    assert (level.outcome, gain.outcome) == (Outcome.PASSED, Outcome.PASSED)


def test_gates_on_some_of_the_rows(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=ALL, gates={"quotes_valid": Gate(min=0.9, confidence=0.95)})
    evidence = run(tmp_path, plan)
    (result,) = judge(plan, read_evidence(tmp_path / "out")).gates
    assert (result.outcome, result.value) == (Outcome.PASSED, 1.0)
    assert judge(plan, evidence).gates == (result,)


def test_a_gate_on_what_was_not_measured_cannot_be_told(tmp_path: Path) -> None:
    plan = example_text_plan(gates={"exact_match": Gate(min_gain=0.0, min=0.5)}, generate_rows=0)
    evidence = run(tmp_path, plan, wrote=None)
    for result in judge(plan, evidence).gates:
        assert (result.outcome, result.value) == (Outcome.INCONCLUSIVE, None)
        assert "was not measured: no answers are generated" in result.reason


def test_the_primary_metric_needs_rows(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=("exact_match", "loss"), primary="exact_match", generate_rows=0)
    with pytest.raises(FtspecError, match="FTS804"):
        run(tmp_path, plan, wrote=None)


@pytest.mark.parametrize(
    ("primary", "gate", "generate_rows", "codes"),
    [
        ("loss", "loss", 0, []),
        ("exact_match", "loss", 0, ["FTS804"]),
        ("loss", "refused", 2, ["FTS804"]),  # the third row is the first that asks for a refusal
        ("loss", "refused", 3, []),
        ("quotes_valid", "answer_form", 1, []),
    ],
)
def test_what_no_row_defines_is_told_before_training(
    tmp_path: Path, primary: str, gate: str, generate_rows: int, codes: list[str]
) -> None:
    plan = example_text_plan(
        metrics=ALL, primary=primary, gates={gate: Gate(min_gain=0.0)}, generate_rows=generate_rows
    )
    split = write_text_split(tmp_path / "split")
    found = check_measurable(plan, split, [row_id(number) for number in range(ROWS)])
    assert [item.code.id for item in found] == codes


def test_never_to_refuse_is_no_merit_where_nothing_is_to_be_refused(tmp_path: Path) -> None:
    plan = example_text_plan(metrics=("loss", "refused"), generate_rows=2)
    summary = run(tmp_path, plan, wrote=(NOTHING[:2], [REFUSAL] * 2)).summary
    assert summary.find("refused") is None
    assert summary.text is not None
    assert "asks for a refusal" in summary.text.unmeasured[0].reason


def test_rows_that_were_not_scored_count_for_neither(tmp_path: Path) -> None:
    plan = example_text_plan()
    summary = run(
        tmp_path, plan, base=BASE[:30], tuned=TUNED[:30], wrote=(NOTHING[:30], LEARNED[:30])
    ).summary
    assert summary.queries == 30


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("losses.jsonl", None, "FTS612"),
        ("losses.jsonl", "{}\n", "FTS612"),
        ("losses.jsonl", "no json", "FTS612"),
        ("losses.jsonl", '{"id": "r000", "nll": 1.0, "tokens": 0}\n', "FTS612"),
        ("losses.jsonl", '{"id": "r000", "nll": 1.0, "tokens": 4}\n', "FTS612"),  # fewer than the other
        ("losses.jsonl", '{"id": "r000", "nll": NaN, "tokens": 4}\n', "FTS607"),
        ("losses.jsonl", '{"id": "r000", "nll": Infinity, "tokens": 4}\n', "FTS607"),
        ("answers.jsonl", '{"id": "r000", "text": "x"}\n', "FTS612"),
        ("answers.jsonl", '{"id": "r000"}\n', "FTS612"),
    ],
)
def test_scores_that_do_not_fit(tmp_path: Path, name: str, text: str | None, code: str) -> None:
    run(tmp_path, example_text_plan())
    path = tmp_path / "tuned" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(FtspecError, match=code):
        evaluate(
            example_text_plan(), tmp_path / "split", tmp_path / "base", tmp_path / "tuned", tmp_path / "out"
        )


def test_a_huge_loss_has_a_perplexity(tmp_path: Path) -> None:
    summary = run(tmp_path, example_text_plan(), tuned=[5000.0] * ROWS).summary
    perplexity = summary.metric("perplexity")
    assert math.isfinite(perplexity.tuned.high)
    assert perplexity.gain.mean < 0
    assert summary.metric("loss").gain.mean < -4000


losses = st.lists(st.floats(0.01, 12, allow_nan=False), min_size=2, max_size=12)


@settings(max_examples=60, deadline=None)
@given(losses, st.data())
def test_exchanging_the_models_turns_the_gain(base: list[float], data: st.DataObject) -> None:
    tuned = data.draw(st.lists(st.floats(0.01, 12), min_size=len(base), max_size=len(base)))
    bootstrap = Bootstrap(resamples=100, confidence=0.9, seed=1)
    rows = range(len(base))
    for metric, transform in (("loss", float), ("perplexity", math.exp), ("token_f1", lambda x: x / 12)):
        one, two = [transform(value) for value in base], [transform(value) for value in tuned]
        (there,) = compare(
            {"base": {metric: one}, "tuned": {metric: two}}, rows, metrics=(metric,), bootstrap=bootstrap, scope="all"
        )  # fmt: skip
        (back,) = compare(
            {"base": {metric: two}, "tuned": {metric: one}}, rows, metrics=(metric,), bootstrap=bootstrap, scope="all"
        )  # fmt: skip
        scale = max(1.0, there.base.mean, there.tuned.mean)
        assert there.gain.mean == pytest.approx(-back.gain.mean, abs=2e-8 * scale)
        assert there.gain.low == pytest.approx(-back.gain.high, abs=2e-8 * scale)
        assert (there.wins, there.losses) == (back.losses, back.wins)
        assert there.p_value == back.p_value
        better = (
            there.tuned.mean < there.base.mean if metric != "token_f1" else there.tuned.mean > there.base.mean
        )
        assert not better or there.gain.mean >= 0
        assert there.gain.low <= there.gain.mean + 1e-7 * scale


@settings(max_examples=40, deadline=None)
@given(losses, st.randoms())
def test_the_order_of_rows_changes_no_mean(base: list[float], random: object) -> None:
    tuned = [value * 0.9 for value in base]
    order = list(range(len(base)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for metric in ("loss", "perplexity"):
        found = [
            estimates([pairs(metric, [base[i] for i in rows], [tuned[i] for i in rows])],
                      resamples=100, confidence=0.9, seed=3)[0]
            for rows in (range(len(base)), order)
        ]  # fmt: skip
        for first, second in zip(*found, strict=True):
            assert first.mean == pytest.approx(second.mean, rel=1e-9, abs=1e-8)


def test_gains_of_perplexity_have_the_sign_of_those_of_loss() -> None:
    base, tuned = np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.5, 3.0])
    assert gains("loss", base, tuned).tolist() == [-1.0, 0.5, 0.0]
    assert gains("perplexity", np.exp(base), np.exp(tuned)) == pytest.approx([-1.0, 0.5, 0.0])
