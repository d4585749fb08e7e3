"""RAFT rows (arXiv 2403.10131): a question among documents, and an answer that quotes the oracle.

With probability P a row shows its oracle and k distractors, else k + 1 distractors. The draw, the order of
the documents and the distractors depend on the seed and on content, never on the order of rows.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.data.cells import RowError
from ftspec.data.distractors import Distractors, words_of
from ftspec.data.llm_rows import LlmRow, RaftContext, RaftDocument
from ftspec.data.rows import order_hash
from ftspec.data.sentences import around
from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END, REFUSAL, RaftPlan

MARKS = (QUOTE_BEGIN, QUOTE_END, ANSWER_MARK)
_DRAW_DIGITS = 13  # hexadecimal digits of a hash that make a number in [0, 1)
_EXTRACTIVE = (
    "Answer the question from the documents. Copy the sentence that holds the answer, word for word, between "
    f"{QUOTE_BEGIN} and {QUOTE_END}. Then write {ANSWER_MARK} and the answer."
)
_WRITTEN = (
    "Answer the question from the documents. Reason step by step, and copy what you rely on, word for word, "
    f"between {QUOTE_BEGIN} and {QUOTE_END}. Then write {ANSWER_MARK} and the answer."
)
_REFUSING = f" If no document answers it, write only: {ANSWER_MARK} {REFUSAL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftQuestion:
    """`completion` is a written answer; None: it is made from the span."""

    question: str
    answers: tuple[str, ...]
    document_id: str
    completion: str | None = None
    id: str = ""  # "": by content
    group: str | None = None
    slices: tuple[tuple[str, str], ...] = ()
    line: int = 0


class NoSpanError(RowError):
    """No answer stands in the document."""


def instruction(plan: RaftPlan) -> str:
    """The user's own words, or the default ones."""
    if plan.prompt is not None:
        return plan.prompt
    return (_EXTRACTIVE if plan.answers == "extractive" else _WRITTEN) + (
        _REFUSING if plan.when_absent == "refuse" else ""
    )


def documents_needed(plan: RaftPlan) -> int:
    """Documents that a source must have at least, so that every row can be filled."""
    return plan.distractors + (2 if plan.oracle_probability < 1 else 1)


def raft_row(
    asked: RaftQuestion, oracle: RaftDocument, distractors: Distractors, plan: RaftPlan, source: int
) -> tuple[LlmRow, int]:
    """The row, and how many of its distractors were drawn at random for want of better ones.

    Raises RowError (NoSpanError for an extractive answer that is no span of the oracle).
    """
    for text in (asked.question, oracle.text):
        held = next((mark for mark in MARKS if mark in text), None)
        if held is not None:
            raise RowError(f"the question or its document holds `{held}`, which marks quotes and answers")
    completion, answers = asked.completion, asked.answers
    if completion is None:
        completion, span = extractive_answer(asked.question, asked.answers, oracle)
        answers = (span, *(answer for answer in answers if answer != span))
    check_completion(completion, oracle.text)
    key = f"{asked.question}\0{oracle.text}"
    draw = int(order_hash(plan.seed, "oracle", key)[:_DRAW_DIGITS], 16) / 16**_DRAW_DIGITS
    present = draw < plan.oracle_probability
    count = plan.distractors if present else plan.distractors + 1
    picked, at_random = distractors.pick(asked.question, oracle, asked.answers, count)
    if len(picked) < count:
        raise RowError(f"only {len(picked)} other documents are without its answer, {count} are shown")
    shown = sorted(
        (*picked, oracle) if present else picked,
        key=lambda document: order_hash(plan.seed, "order", f"{key}\0{document.id}"),
    )
    refuse = not present and plan.when_absent == "refuse"
    if refuse:
        completion, answers = f"{ANSWER_MARK} {REFUSAL}", (REFUSAL,)
    row = LlmRow(
        id=asked.id,
        prompt=raft_prompt(instruction(plan), shown, asked.question),
        completion=completion,
        answers=answers,
        raft=RaftContext(
            question=asked.question,
            oracle_id=oracle.id,
            oracle=oracle.text,
            documents=tuple(shown),
            present=present,
            refuse=refuse,
        ),
        group=asked.group,
        slices=asked.slices,
        source=source,
        line=asked.line,
    )
    return row, at_random


def raft_prompt(words: str, documents: Sequence[RaftDocument], question: str) -> str:
    """Documents are numbered by their place: their identifiers mean nothing to a model."""
    shown = "\n\n".join(f"[{number}] {document.text}" for number, document in enumerate(documents, start=1))
    return f"{words}\n\n{shown}\n\nQuestion: {question}"


def extractive_answer(question: str, answers: Sequence[str], oracle: RaftDocument) -> tuple[str, str]:
    """A completion that quotes the sentence of the oracle that holds the answer; and that answer.

    The first answer that stands there as whole words counts, else the first that stands there at all; of
    several sentences the one that shares most words with the question. Raises NoSpanError.
    """
    wanted = set(words_of(question))
    for whole in (True, False):
        for answer in answers:
            span = answer.strip()
            places = list(_places(span, oracle.text, whole=whole))
            if places:
                quotes = [oracle.text[slice(*around(oracle.text, *place))] for place in places]
                best = max(quotes, key=lambda quote: len(wanted & set(words_of(quote))))
                return f"{QUOTE_BEGIN}{best}{QUOTE_END} {ANSWER_MARK} {span}", span
    raise NoSpanError(f"no answer is a span of its document `{oracle.id}`")


def _places(span: str, text: str, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Where `span` stands in `text`, `whole`: not inside a word. Without patterns: to compile one for each answer
    takes longer than all searches."""
    start = text.find(span) if span else -1
    while start >= 0:
        end = start + len(span)
        if whole and (_in_word(text[start - 1 : start]) or _in_word(text[end : end + 1])):
            start = text.find(span, start + 1)
        else:
            yield start, end
            start = text.find(span, end)


def _in_word(character: str) -> bool:
    r"""As `\w` has it; "" is at an end of the text."""
    return character.isalnum() or character == "_"


def check_completion(completion: str, oracle: str) -> None:
    """Raises RowError unless quotes come in pairs, each verbatim in the oracle, before one answer mark."""
    if completion.count(ANSWER_MARK) != 1:
        raise RowError(
            f"`{ANSWER_MARK}` stands {completion.count(ANSWER_MARK)} times in the answer, not once"
        )
    cited, _, answer = completion.partition(ANSWER_MARK)
    if not answer.strip():
        raise RowError(f"nothing stands behind `{ANSWER_MARK}`")
    pieces = re.split(f"({re.escape(QUOTE_BEGIN)}|{re.escape(QUOTE_END)})", cited)
    marks = pieces[1::2]
    if not marks or marks != [QUOTE_BEGIN, QUOTE_END] * (len(marks) // 2) or QUOTE_BEGIN in answer:
        raise RowError(f"quotes do not stand in pairs of {QUOTE_BEGIN} and {QUOTE_END} before the answer")
    for quote in pieces[2::4]:
        if not quote.strip() or quote not in oracle:
            raise RowError("a quote is not verbatim in the document")
