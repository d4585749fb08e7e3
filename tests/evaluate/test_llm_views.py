"""Results of an LLM as people and programs read them: a loss that fell is a gain, and nothing breaks out."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.evaluate.evidence import Estimate, Summary, TextExample
from ftspec.evaluate.gates import Verdict, judge
from ftspec.evaluate.outcome import ApplyResult
from ftspec.evaluate.words import (
    gain_text,
    improvement,
    metric_change_text,
    metric_gain_text,
    metric_label,
    value_text,
)
from ftspec.plan.model import Gate
from ftspec.view.evidence import evidence_document, evidence_markdown, render_evidence
from ftspec.view.result import render_result, result_document
from ftspec.view.runs import RunSummary, render_runs
from ftspec.view.safe_text import cell_width
from tests.evaluate.test_llm_evaluate import ALL, BASE, LEARNED, NOTHING, TUNED, run
from tests.example_text import example_text_plan


def result(folder: Path, *, worse: bool = False, generate: bool = True) -> tuple[Summary, Verdict]:
    plan = example_text_plan(
        metrics=ALL,
        slices=("topic",),
        gates={"loss": Gate(min_gain=0.0, confidence=0.95), "perplexity": Gate(max=7.0)},
        generate_rows=40 if generate else 0,
    )
    base, tuned = (TUNED, BASE) if worse else (BASE, TUNED)
    evidence = run(folder, plan, base=base, tuned=tuned, wrote=(NOTHING, LEARNED) if generate else None)
    return evidence.summary, judge(plan, evidence)


@pytest.mark.parametrize("width", [60, 76, 80, 88, 100, 112, 120])
@pytest.mark.parametrize("generate", [True, False])
def test_lines_fit(tmp_path: Path, width: int, generate: bool) -> None:
    text = render_evidence(*result(tmp_path, generate=generate), width)
    assert all(cell_width(line) <= width for line in text.splitlines())
    assert "…" not in text.split("improved most")[0]


def test_a_loss_that_fell_is_better(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    text = render_evidence(summary, verdict, 100)
    assert text.startswith("better: loss -0.320 [-0.325, -0.315] on 40 unseen rows\n")
    assert "better by 0.320  [+0.315, +0.325]" in text
    assert "slices, loss  rows" in text
    assert "tuned    word 5" in text
    assert evidence_markdown(summary, verdict).startswith("**better: loss -0.320")
    assert "| loss | 2.200 | 1.881 | better by 0.320 |" in evidence_markdown(summary, verdict)
    assert evidence_document(summary, verdict)["finding"].startswith("better: loss -0.320")


def test_a_loss_that_rose_is_worse(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path, worse=True)
    text = render_evidence(summary, verdict, 100)
    assert text.startswith("worse: loss +0.320 [+0.315, +0.325] on 40 unseen rows\n")
    assert "worse by 0.320  [-0.325, -0.315]" in text
    assert "A gate failed" in evidence_markdown(summary, verdict)


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path, generate=False)
    for text in (render_evidence(summary, verdict, 300), evidence_markdown(summary, verdict)):
        assert "not measured: exact match, token F1, quotes valid, oracle cited" in text


def test_values_cannot_steer_the_terminal(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    evil = "[red]x[/] \x1b[31m\u202e\nsecond 日本語" * 5
    example = summary.improvements[0]
    assert isinstance(example, TextExample)
    example = replace(example, text=evil, expected=evil, base_answer=evil, tuned_answer="")
    text = render_evidence(replace(summary, improvements=(example,)), verdict, 80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/]" in text
    assert "(nothing)" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2.4123, "2.412"), (99.9, "99.900"), (1234.56, "1,234.6"), (1.0142e304, "1.01e+304"), (0.0, "0.000")],
)
def test_large_values_stay_short(value: float, shown: str) -> None:
    assert value_text(value) == shown
    assert gain_text(-value) in (f"-{shown}", "0.000")


def test_gains_by_direction() -> None:
    gain = Estimate(mean=0.432, low=0.401, high=0.463)
    assert metric_change_text("loss", gain) == "-0.432 [-0.463, -0.401]"
    assert metric_change_text("token_f1", gain) == "+0.432 [+0.401, +0.463]"
    assert metric_gain_text("loss", -0.1) == "worse by 0.100"
    assert metric_gain_text("loss", 0.0001) == "0.000"
    assert metric_gain_text("a metric of tomorrow", 0.1) == "+0.100"
    assert improvement("perplexity", 9.0, 7.0) == 2.0
    assert improvement("ndcg@10", 0.5, 0.6) == pytest.approx(0.1)
    assert metric_label("refused") == "refused rightly"


def test_runs_show_the_gain_of_a_loss() -> None:
    each = RunSummary(
        run_id="answers-aaaaaaaa",
        name="answers",
        state="finished",
        primary="loss",
        metrics={"base": {"loss": 2.412}, "tuned": {"loss": 1.98}},
    )
    assert "2.412  1.980  better by 0.432" in render_runs([each], format="human")


def test_the_result_of_an_apply(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    outcome = ApplyResult(
        run_id="answers-aaaaaaaa",
        spec_hash="sha256:1",
        plan_digest="sha256:2",
        verdict="passed",
        standing="passed",
        summary=summary,
        gates=verdict,
        model_path=tmp_path / "model",
        model_name="answers",
        model_version="v1",
        seconds=3.0,
        predicted_seconds=None,
        peak_memory_bytes=None,
        predicted_peak_memory_bytes=None,
    )
    text = render_result(outcome, spec_path="answers.yaml", width=100, color=False)
    assert "ftspec models show answers" in text
    assert "ftspec query" not in text
    assert result_document(outcome)["metrics"]["tuned"]["exact_match"] == 1.0
