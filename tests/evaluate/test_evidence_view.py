"""The result on a terminal: it fits, it says what happened, and values cannot steer the terminal."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import Summary
from ftspec.evaluate.gates import Verdict, judge
from ftspec.plan.model import Gate
from ftspec.view.evidence import evidence_document, evidence_markdown, render_evidence
from ftspec.view.safe_text import cell_width
from tests.example_evidence import WIDTH, example_plan, write_encoding, write_split


def result(folder: Path, *, base: float = 2.5, tuned: float = 1.0) -> tuple[Summary, Verdict]:
    plan = example_plan(
        slices=("group",),
        dimensions=(WIDTH, 4),
        metrics=("ndcg@10", "recall@1", "recall@5", "mrr@10", "precision@10"),
        gates={"ndcg@10": Gate(min_gain=0.0), "latency_ms": Gate(p50_max=9.0)},
    )
    evidence = evaluate(
        plan,
        write_split(folder / "split"),
        write_encoding(folder / "base", noise=base),
        write_encoding(folder / "tuned", noise=tuned),
        folder,
    )
    return evidence.summary, judge(plan, evidence)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_lines_fit(tmp_path: Path, width: int) -> None:
    text = render_evidence(*result(tmp_path), width)
    assert all(cell_width(line) <= width for line in text.splitlines())
    assert "…" not in text.split("improved most")[0]
    assert "\x1b" not in text


def test_wide_shows_p_values_and_counts(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    assert " p " in render_evidence(summary, verdict, 120).splitlines()[2]
    assert "better" in render_evidence(summary, verdict, 80).splitlines()[2]


@pytest.mark.parametrize(
    ("base", "tuned", "begins"),
    [
        (2.5, 1.0, "better: nDCG@10 +0."),
        (1.0, 2.5, "worse: nDCG@10 -0."),
        (1.0, 1.0, "the same: nDCG@10 0.000"),
    ],
)
def test_the_first_line_is_the_finding(tmp_path: Path, base: float, tuned: float, begins: str) -> None:
    summary, verdict = result(tmp_path, base=base, tuned=tuned)
    text = render_evidence(summary, verdict, 100)
    assert text.startswith(begins)
    assert text.splitlines()[0].endswith("on 40 unseen queries")
    assert evidence_markdown(summary, verdict).startswith(f"**{begins}")
    assert evidence_document(summary, verdict)["finding"].startswith(begins)


def test_cannot_tell(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    metric = summary.primary_metric
    metric = replace(metric, gain=replace(metric.gain, low=-0.01))
    summary = replace(summary, metrics=(metric, *summary.metrics[1:]))
    assert render_evidence(summary, verdict, 80).startswith("cannot tell: nDCG@10")


def test_values_cannot_steer_the_terminal(tmp_path: Path) -> None:
    summary, verdict = result(tmp_path)
    evil = "[red]x[/] \x1b[31m\u202e\nsecond 日本語" * 5
    example = replace(summary.improvements[0], text=evil)
    part = replace(summary.slices[0], value=evil)
    summary = replace(summary, improvements=(example,), slices=(part,))
    text = render_evidence(summary, verdict, 80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/]" in text
    assert all(cell_width(line) <= 80 for line in text.splitlines())
    markdown = evidence_markdown(summary, verdict)
    assert "\nsecond" not in markdown


def test_color_only_when_asked(tmp_path: Path) -> None:
    assert "\x1b[1;32mbetter" in render_evidence(*result(tmp_path), 80, color=True)
