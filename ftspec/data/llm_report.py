"""What people are told of text data: warnings, and examples of what is trained."""

from typing import Any

from ftspec.data.collect import skip_warnings
from ftspec.data.llm_sides import Side
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.data.llm_tokens import TokenRow
from ftspec.diagnostics.codes import (
    ANSWERS_NOT_FOUND,
    CONTROL_TOKENS,
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
            f"{dropped:,} of {dropped + facts.train_rows + facts.validation_rows + facts.test_rows:,} rows have "
            f"more than {max_seq_length} tokens, {facts.prompt_too_long} of them in their "
            f"prompt alone; {facts.test_dropped} were test rows",
            help="raise `model.max_seq_length` as far as the base has positions"
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
    if facts.control_rows:
        found.add(
            CONTROL_TOKENS,
            f"{facts.control_rows:,} rows ({'; '.join(facts.control_examples)})",
            help="take these tokens out of the texts, or write them otherwise",
            about=("data", "train"),
        )
    if facts.truncated:
        found.add(
            TRUNCATED_TEXTS,
            f"the answers of {facts.truncated} rows are cut at {max_seq_length} tokens",
            about=("train", "too_long"),
        )
    return found


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
