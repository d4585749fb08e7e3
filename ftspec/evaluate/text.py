"""Losses and written answers of both models on held-out rows → values per row → evidence. No torch."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.evaluate.compare import Values, compare, compare_slices, gains, pairs, rounded
from ftspec.evaluate.evidence import (
    NO_DIMENSION,
    Evidence,
    QueryScores,
    Summary,
    TextExample,
    TextScoring,
    Unmeasured,
    write_summary,
)
from ftspec.evaluate.lines import read_lines, write_lines
from ftspec.evaluate.significance import TIE
from ftspec.evaluate.text_metrics import RaftRow, text_value
from ftspec.plan.llm import LlmPlan
from ftspec.plan.metrics import needs_generation

EXAMPLES = 3  # biggest gains and losses that are kept for people
EXAMPLE_CHARS = 200
MAX_LOSS = 700.0  # nats; e^709 is the largest power that a float64 holds
_AGAIN = "`ftspec apply` of the spec makes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """A held-out row as scoring needs it. `asked` and `expected` are for people: the last thing said before
    the answer, and the answer that the row gives."""

    id: str
    asked: str
    expected: str
    answers: tuple[str, ...] = ()
    raft: RaftRow | None = None
    slices: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one model made of the rows. `losses`: row id → nats per trained token; `answers`: row id → text
    that it wrote, for the rows that it was asked to."""

    losses: Mapping[str, float]
    tokens: Mapping[str, int]
    answers: Mapping[str, str]


def evaluate_text(plan: LlmPlan, split_dir: Path, base_dir: Path, tuned_dir: Path, out_dir: Path) -> Evidence:
    """Compare score_base with score_tuned on the test rows of a split; write scores.jsonl, summary.json and,
    where the models wrote, answers.jsonl.

    Rows that a model did not score (too long for it) count for neither. Writes into `out_dir`, which
    exists. The same inputs give the same bytes. Raises FtspecError: FTS607 when a loss is not a number,
    FTS612 when the artefacts do not fit together, FTS804 when no row defines the primary metric.
    """
    settings = plan.evaluation
    scored = {"base": read_scored(base_dir), "tuned": read_scored(tuned_dir)}
    _check_same_rows(scored)
    rows = scored_rows(read_rows(split_dir), scored["base"], split_dir)
    values = {name: row_values(settings.metrics, rows, variant) for name, variant in scored.items()}
    metrics = compare(
        values, range(len(rows)), metrics=settings.metrics, bootstrap=settings.bootstrap, scope="all"
    )
    written = tuple(row for row in rows if row.id in scored["base"].answers)
    measured = {metric.metric for metric in metrics}
    unmeasured = tuple(
        Unmeasured(metric=name, reason=why_undefined(name, written))
        for name in settings.metrics
        if name not in measured
    )
    if settings.primary not in measured:
        raise FtspecError(*_without_rows(unmeasured, (settings.primary,)))
    best, worst = _examples(settings.primary, rows, values, scored)
    summary = Summary(
        primary=settings.primary,
        queries=len(rows),
        documents=None,
        top_k=None,
        confidence=settings.bootstrap.confidence,
        resamples=settings.bootstrap.resamples,
        seed=settings.bootstrap.seed,
        metrics=metrics,
        slices=compare_slices(
            values,
            [row.slices for row in rows],
            columns=settings.slices,
            metrics=settings.metrics,
            bootstrap=settings.bootstrap,
        ),
        dimensions=(),
        base_latency=None,
        tuned_latency=None,
        improvements=best,
        regressions=worst,
        text=TextScoring(
            scored_tokens=sum(scored["base"].tokens.values()),
            generated=len(written),
            unmeasured=unmeasured,
        ),
    )
    write_lines(out_dir / "scores.jsonl", _score_rows(settings.metrics, rows, values))
    if written:
        write_lines(out_dir / "answers.jsonl", _answer_rows(written, scored))
    write_summary(out_dir, summary)
    present = {
        variant: {name: column for name, column in table.items() if name in measured}
        for variant, table in values.items()
    }
    scores = QueryScores(
        query_ids=tuple(row.id for row in rows), base=present["base"], tuned=present["tuned"]
    )
    return Evidence(summary=summary, scores=scores)


def check_measurable(plan: LlmPlan, split_dir: Path, scored_ids: Sequence[str]) -> Diagnostics:
    """FTS804 for the primary metric and for each gated one that no row will define, before anything is
    trained: which rows define a metric depends on the data alone.

    `scored_ids`: rows of test.jsonl of the tokenize stage, in their order; the first `generate_rows` of them
    will be written to.
    """
    by_id = {row.id: row for row in read_rows(split_dir)}
    ids = scored_ids[: plan.evaluation.generate_rows]
    written = [by_id[id] for id in ids]
    asked = [
        name for name in plan.evaluation.metrics if name in plan.gates or name == plan.evaluation.primary
    ]
    undefined = tuple(
        Unmeasured(metric=name, reason=why_undefined(name, written))
        for name in asked
        if needs_generation([name])
        and all(value is None for value in _written_values(name, written, dict.fromkeys(ids, "")))
    )
    return _without_rows(undefined, asked)


def read_rows(split_dir: Path) -> tuple[TextRow, ...]:
    """test.jsonl of a split of text rows."""
    return tuple(_row(item) for item in read_lines(split_dir / "test.jsonl"))


def _row(item: Mapping[str, Any]) -> TextRow:
    messages = item.get("messages")
    raft = item.get("raft")
    if messages:
        expected = _said(messages[-1])
        asked = _said(messages[-2]) if len(messages) > 1 else ""
    else:
        expected, asked = item["completion"], item["prompt"]
    return TextRow(
        id=item["id"],
        asked=raft["question"] if raft and raft.get("question") else asked,
        expected=expected,
        answers=tuple(item.get("answers") or ()),
        raft=None if raft is None else _raft(raft),
        slices={str(name): str(value) for name, value in (item.get("slices") or {}).items()},
    )


def _raft(item: Mapping[str, Any]) -> RaftRow:
    return RaftRow(
        oracle=item["oracle"],
        distractors=tuple(each["text"] for each in item["documents"] if each["id"] != item["oracle_id"]),
        present=item["present"],
        refuse=item["refuse"],
    )


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    other = message.get("tool_calls") or content
    return json.dumps(other, ensure_ascii=False, sort_keys=True) if other else ""


def read_scored(folder: Path) -> Scored:
    """losses.jsonl and answers.jsonl of a score stage. Raises FtspecError: FTS607 for a loss that is not a
    number, FTS612 for files that cannot be read."""
    losses: dict[str, float] = {}
    tokens: dict[str, int] = {}
    answers: dict[str, str] = {}
    try:
        for row in read_lines(folder / "losses.jsonl"):
            losses[row["id"]] = float(row["nll"]) / int(row["tokens"])
            tokens[row["id"]] = int(row["tokens"])
        if (folder / "answers.jsonl").exists():
            answers = {row["id"]: str(row["text"]) for row in read_lines(folder / "answers.jsonl")}
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise _damaged(f"{folder.name}: {type(error).__name__}") from error
    lost = [id for id, loss in losses.items() if not math.isfinite(loss)]
    if lost:
        raise FtspecError(
            Diagnostic(
                code=codes.LOSS_NAN,
                detail=f"{folder.name}: the loss of {len(lost):,} of {len(losses):,} held-out rows, {lost[0]} first",
                help="score in another precision: `resources.precision: fp32`, or bf16 instead of fp16",
            )
        )
    return Scored(losses=losses, tokens=tokens, answers=answers)


def scored_rows(rows: Sequence[TextRow], scored: Scored, folder: Path) -> tuple[TextRow, ...]:
    """The rows that were scored, in the order of the split."""
    kept = tuple(row for row in rows if row.id in scored.losses)
    if len(kept) != len(scored.losses) or not kept:
        raise _damaged(f"{folder.name} has {len(kept)} of the {len(scored.losses)} rows that were scored")
    return kept


def _check_same_rows(scored: Mapping[str, Scored]) -> None:
    base, tuned = scored["base"], scored["tuned"]
    if base.tokens != tuned.tokens or base.answers.keys() != tuned.answers.keys():
        raise _damaged("base and tuned model were not scored on the same tokens, so nothing can be compared")


def row_values(
    metrics: Sequence[str], rows: Sequence[TextRow], scored: Scored
) -> dict[str, tuple[float | None, ...]]:
    """Values of one model in the order of `rows`; None where a metric is not defined.

    loss: mean negative log-likelihood, in nats, of the row's trained tokens. perplexity: exp(loss), at most
    e^700. Their means over rows weigh rows equally, not tokens. The other metrics: `text_metrics`, on the
    rows that have a written answer.
    """
    found: dict[str, tuple[float | None, ...]] = {}
    for name in metrics:
        if name == "loss":
            found[name] = tuple(scored.losses[row.id] for row in rows)
        elif name == "perplexity":
            found[name] = tuple(math.exp(min(scored.losses[row.id], MAX_LOSS)) for row in rows)
        else:
            found[name] = _written_values(name, rows, scored.answers)
    return found


def _written_values(
    metric: str, rows: Sequence[TextRow], answers: Mapping[str, str]
) -> tuple[float | None, ...]:
    """`refused` is defined only where some row asks for a refusal: without one, never to refuse would score
    1, although nothing was learned."""
    if metric == "refused" and not any(
        row.raft is not None and row.raft.refuse for row in rows if row.id in answers
    ):
        return (None,) * len(rows)
    return tuple(
        text_value(metric, answers[row.id], row.answers, row.raft) if row.id in answers else None
        for row in rows
    )


def why_undefined(metric: str, written: Sequence[TextRow]) -> str:
    """Why none of the rows with a written answer defines `metric`."""
    if not written:
        return "no answers are generated; write `evaluation.generate_rows`"
    lacking = {
        "exact_match": "has `answers` to compare with",
        "token_f1": "has `answers` to compare with",
        "quotes_valid": "shows the document that holds its answer",
        "oracle_cited": "shows the document that holds its answer",
        "refused": "asks for a refusal (`when_absent: refuse`)",
        "answer_form": "was made from documents (`type: raft`)",
    }
    rows = "row" if len(written) == 1 else "rows"
    return f"none of the {len(written):,} {rows} with generated answers {lacking[metric]}"


def _without_rows(undefined: Sequence[Unmeasured], names: Sequence[str]) -> Diagnostics:
    found = Diagnostics()
    for each in undefined:
        if each.metric in names:
            found.add(
                codes.METRIC_WITHOUT_ROWS,
                f"`{each.metric}`: {each.reason}",
                help="change the data, or leave the metric and its gate away",
            )
    return found


def _examples(
    primary: str, rows: Sequence[TextRow], values: Mapping[str, Values], scored: Mapping[str, Scored]
) -> tuple[tuple[TextExample, ...], tuple[TextExample, ...]]:
    """The biggest improvements and the biggest regressions, equal ones in the order of the rows. Where
    answers were written, of those rows: they show what the numbers mean."""
    base, tuned = values["base"][primary], values["tuned"][primary]
    defined = [row for row in range(len(rows)) if base[row] is not None]
    shown = [row for row in defined if rows[row].id in scored["base"].answers] or defined
    table = pairs(primary, [base[row] for row in shown], [tuned[row] for row in shown])
    moved = dict(zip(shown, gains(primary, table.base, table.tuned).tolist(), strict=True))

    def example(place: int) -> TextExample:
        row, before, after = rows[place], base[place], tuned[place]
        assert before is not None
        assert after is not None
        wrote = [scored[variant].answers.get(row.id) for variant in ("base", "tuned")]
        return TextExample(
            row_id=row.id,
            text=_tail(row.asked),
            base=rounded(before),
            tuned=rounded(after),
            expected=_head(row.expected),
            base_answer=None if wrote[0] is None else _head(wrote[0]),
            tuned_answer=None if wrote[1] is None else _head(wrote[1]),
        )

    best = sorted((row for row, gain in moved.items() if gain > TIE), key=lambda row: (-moved[row], row))
    worst = sorted((row for row, gain in moved.items() if gain < -TIE), key=lambda row: (moved[row], row))
    return tuple(map(example, best[:EXAMPLES])), tuple(map(example, worst[:EXAMPLES]))


def _head(text: str) -> str:
    text = text.strip()
    return text if len(text) <= EXAMPLE_CHARS else text[: EXAMPLE_CHARS - 1] + "…"


def _tail(text: str) -> str:
    text = text.strip()
    return text if len(text) <= EXAMPLE_CHARS else "…" + text[-(EXAMPLE_CHARS - 1) :]


def _score_rows(
    metrics: Sequence[str], rows: Sequence[TextRow], values: Mapping[str, Values]
) -> Iterator[dict[str, Any]]:
    for variant in ("base", "tuned"):
        for place, row in enumerate(rows):
            for metric in metrics:
                value = values[variant][metric][place]
                if value is not None:
                    yield {
                        "variant": variant,
                        "dimension": NO_DIMENSION,
                        "query_id": row.id,
                        "metric": metric,
                        "value": value,
                        "slices": dict(row.slices),
                    }


def _answer_rows(rows: Sequence[TextRow], scored: Mapping[str, Scored]) -> Iterator[dict[str, Any]]:
    """Side by side, for people: nothing reads it back."""
    for row in rows:
        yield {
            "id": row.id,
            "asked": row.asked,
            "expected": row.expected,
            "base": scored["base"].answers[row.id],
            "tuned": scored["tuned"].answers[row.id],
        }


def _damaged(detail: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.ARTIFACT_DAMAGED, detail=detail, help=_AGAIN))
