"""What people are told of text data: warnings, short lines for the plan, and examples of what is trained."""

from collections.abc import Iterator
from typing import Any

from ftspec.data.collect import skip_warnings
from ftspec.data.llm_sides import Side
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.data.llm_tokens import TokenRow
from ftspec.diagnostics.codes import (
    ANSWERS_NOT_FOUND,
    ROWS_SKIPPED,
    ROWS_TOO_LONG,
    RUN_TOGETHER,
    TRUNCATED_TEXTS,
)
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.llm_data import LlmDataFacts

_EXAMPLES = 3
_PROMPT_CHARS = 300  # the end of a prompt says what is asked


def data_warnings(facts: LlmDataFacts, max_seq_length: int) -> Diagnostics:
    """What was left out or cut, from facts alone, so that a warm survey says the same."""
    found = skip_warnings(facts.sources)
    if facts.raft is not None and facts.raft.answers_not_found:
        found.add(
            ANSWERS_NOT_FOUND,
            f"{facts.raft.answers_not_found} questions are left out",
            help="give answers as they stand in the document; or `answers: written`",
        )
    if facts.template_refused:
        found.add(ROWS_SKIPPED, f"the chat template refused {facts.template_refused} rows")
    dropped = facts.dropped_too_long + facts.prompt_too_long
    if dropped:
        found.add(
            ROWS_TOO_LONG,
            f"{dropped} rows have more than {max_seq_length} tokens, {facts.prompt_too_long} of them in their "
            f"prompt alone; {facts.test_dropped} were test rows",
            help="raise `model.max_seq_length`"
            + (", or show fewer `distractors`" if facts.raft is not None else "")
            + ("; or `train.too_long: truncate` cuts answers" if facts.dropped_too_long else ""),
            about=("model", "max_seq_length"),
        )
    if facts.run_together:
        found.add(
            RUN_TOGETHER,
            f"{facts.run_together} rows have no white space between prompt and completion",
            help="end prompts with a line break, or with what your users' prompts will end with",
            about=("data", "train"),
        )
    if facts.truncated:
        found.add(
            TRUNCATED_TEXTS,
            f"the answers of {facts.truncated} rows are cut at {max_seq_length} tokens",
            about=("train", "too_long"),
        )
    return found


def plan_lines(facts: LlmDataFacts, max_seq_length: int) -> Iterator[str]:
    """Short lines for the view of a plan, without any mark-up."""
    rows = f"{facts.train_rows:,} training rows"
    if facts.train_rows < facts.train_rows_available:
        rows += f" of {facts.train_rows_available:,}"
    if facts.sequences != facts.train_rows:
        rows += f", packed into {facts.sequences:,} sequences"
    sides = [rows]
    if facts.validation_rows:
        sides.append(f"{facts.validation_rows:,} for validation")
    yield ", ".join([*sides, f"{facts.test_rows:,} held out ({_split(facts)})"])
    yield (
        f"{facts.train_tokens:,} tokens an epoch, {facts.trained_tokens:,} of them trained "
        f"({_share(facts.trained_tokens, facts.train_tokens)}); rendered as {_render(facts)}"
    )
    lengths = facts.lengths
    yield (
        f"rows of {lengths.p50:,} tokens (median), {lengths.p95:,} (95 %), {lengths.max:,} (longest); "
        f"the limit is {max_seq_length:,}"
    )
    left_out = [
        (facts.duplicates_removed, "duplicates"),
        (facts.overlap_dropped, "that share a prompt or an oracle with held-out rows"),
        (facts.dropped_too_long, "that are too long"),
        (facts.prompt_too_long, "whose prompt is too long"),
        (facts.template_refused, "that the chat template refused"),
        (sum(source.skipped for source in facts.sources), "that are faulty"),
    ]
    told = [f"{count:,} {what}" for count, what in left_out if count]
    if told:
        yield "left out: " + ", ".join(told)
    if facts.truncated:
        yield f"answers of {facts.truncated:,} rows are cut at the limit"
    raft = facts.raft
    if raft is not None:
        yield (
            f"RAFT: {raft.questions:,} questions on {raft.documents:,} documents, the oracle shown in "
            f"{raft.oracle_present:,} ({_share(raft.oracle_present, raft.questions)}), {raft.distractors} "
            f"distractors by {raft.retriever}"
        )
        form = (
            "quotes of the sentence that holds the answer span" if raft.answers == "extractive" else "written"
        )
        yield f"RAFT answers: {form}" + (f"; {raft.refusals:,} refusals" if raft.refusals else "")


def _split(facts: LlmDataFacts) -> str:
    return "given" if facts.split_by == "given" else f"split by {_UNITS[facts.split_by]}"


_UNITS = {"group": "group", "document": "document", "random": "prompt"}


def _render(facts: LlmDataFacts) -> str:
    return " and ".join(sorted(set(facts.render)))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def side_report(side: Side, tokenizer: LlmTokenizer) -> dict[str, Any]:
    """Of one side, for tokenize/report.json: counts, and what the first rows train a model to write."""
    return {
        "rows": side.kept,
        "sequences": len(side.sequence_lengths),
        "tokens": side.tokens,
        "trained_tokens": side.trained,
        "longest": max(side.lengths, default=0),
        "longest_prompt": side.longest_prompt,
        "dropped_too_long": side.too_long,
        "prompt_too_long": side.prompt_too_long,
        "template_refused": side.refused,
        "truncated": side.truncated,
        "examples": [_example(row, tokenizer) for row in side.rows[:_EXAMPLES]],
    }


def _example(row: TokenRow, tokenizer: LlmTokenizer) -> dict[str, Any]:
    """The first row of a packed sequence stands for it."""
    stop = row.segments[1] if len(row.segments) > 1 else len(row.input_ids)
    ids, mask = row.input_ids.tolist()[:stop], row.mask[:stop]
    first = mask.index(1)
    before = tokenizer.decode(ids[:first])
    return {
        "id": row.id,
        "tokens": stop,
        "before": before if len(before) <= _PROMPT_CHARS else "…" + before[-_PROMPT_CHARS:],
        "trained": [tokenizer.decode(stretch) for stretch in _stretches(ids, mask)],
    }


def _stretches(ids: list[int], mask: bytearray) -> list[list[int]]:
    found: list[list[int]] = []
    for place, (token, trained) in enumerate(zip(ids, mask, strict=True)):
        if trained:
            if place == 0 or not mask[place - 1]:
                found.append([])
            found[-1].append(token)
    return found
