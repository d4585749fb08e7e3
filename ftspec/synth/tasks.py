"""What a model is asked: prompt, schema of the reply, and the check that decides whether it is used.

A task is data. Its `version` is part of every key of the cache: raise it when prompt or check changes
what comes out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END

JsonObject = dict[str, Any]
Inputs = Mapping[str, Any]

_MOST_QUESTION_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`value` is what of the reply can be used, None for nothing; `faults` tell the model what is wrong.
    `enough`: what can be used is worth no second try."""

    value: JsonObject | None
    faults: tuple[str, ...] = ()
    enough: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`system` may name `{count}`; `user` makes the message that holds the inputs."""

    name: str
    version: int
    system: str
    schema: JsonObject
    user: Callable[[Inputs], str]
    check: Callable[[JsonObject, Inputs], Checked]
    reply_tokens: int  # of one item of a usual reply, for estimates


def find_span(wanted: str, text: str) -> str | None:
    """The words of `wanted` as they stand in `text`: blanks, case and quotation marks around them may
    differ. None where `text` does not hold them."""
    for candidate in (wanted, wanted.strip().strip("\"'“”‘’«»").rstrip(".").strip()):
        words = candidate.split()
        if not words:
            continue
        found = re.search(r"\s+".join(map(re.escape, words)), text)
        found = found or re.search(r"\s+".join(map(re.escape, words)), text, re.IGNORECASE)
        if found is not None:
            return found[0]
    return None


def excerpt(text: str, length: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


# --- questions with answer spans --------------------------------------------------------------


def _document(inputs: Inputs) -> str:
    return f"Document:\n<<<\n{inputs['document']}\n>>>"


def _items(reply: JsonObject, name: str) -> list[Any] | None:
    value = reply.get(name)
    return value if isinstance(value, list) else None


def _usable_question(value: Any) -> str | None:
    """The question on one line; None for anything but text of a reasonable length."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if 3 <= len(text) <= _MOST_QUESTION_CHARS else None


def _gathered(name: str, kept: list[Any], faults: list[str], count: int) -> Checked:
    if not kept:
        return Checked(value=None, faults=tuple(faults) or (f"`{name}` is empty",), enough=False)
    return Checked(value={name: kept[:count]}, faults=tuple(faults), enough=2 * len(kept) >= count)


def _check_questions(reply: JsonObject, inputs: Inputs) -> Checked:
    items = _items(reply, "questions")
    if items is None:
        return Checked(value=None, faults=("`questions` is not a list",), enough=False)
    kept: list[JsonObject] = []
    faults: list[str] = []
    seen: set[str] = set()
    for item in items:
        question = _usable_question(item.get("question")) if isinstance(item, dict) else None
        answer = item.get("answer") if isinstance(item, dict) else None
        if question is None or not isinstance(answer, str) or not answer.strip():
            faults.append("an item is not of the form {question, answer}")
            continue
        span = find_span(answer, inputs["document"])
        if span is None:
            faults.append(f"the answer `{excerpt(answer)}` does not stand in the document word for word")
        elif question.casefold() not in seen:
            seen.add(question.casefold())
            kept.append({"question": question, "answer": span})
    return _gathered("questions", kept, faults, inputs["count"])


QUESTIONS = Task(
    name="questions",
    version=1,
    system=(
        "You write questions for a question answering system. You get one document. Write {count} different "
        "questions that somebody who has not seen the document may ask, and that it answers.\n"
        "- A question can be understood on its own. It names what it is about, and never mentions a document, "
        "text or passage.\n"
        "- An answer is copied from the document word for word, as short as it can be.\n"
        "- Use the language of the document.\n"
        'Reply with one JSON object and nothing else: {{"questions": [{{"question": "…", "answer": "…"}}]}}'
    ),
    schema={
        "type": "object",
        "properties": {
            "questions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                    "required": ["question", "answer"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["questions"],
        "additionalProperties": False,
    },
    user=_document,
    check=_check_questions,
    reply_tokens=45,
)


# --- queries for embedding training -----------------------------------------------------------


def _check_queries(reply: JsonObject, inputs: Inputs) -> Checked:
    items = _items(reply, "queries")
    if items is None:
        return Checked(value=None, faults=("`queries` is not a list",), enough=False)
    kept: dict[str, str] = {}
    faults: list[str] = []
    for item in items:
        query = _usable_question(item)
        if query is None:
            faults.append(f"a query is no text of 3 to {_MOST_QUESTION_CHARS} characters")
        elif query.casefold() == " ".join(str(inputs["document"]).split()).casefold():
            faults.append("a query is the document itself")
        else:
            kept.setdefault(query.casefold(), query)
    return _gathered("queries", list(kept.values()), faults, inputs["count"])


QUERIES = Task(
    name="queries",
    version=1,
    system=(
        "You write search queries. You get one document. Write {count} different queries that somebody may "
        "type who looks for what this document says, without having seen it.\n"
        "- Use own words rather than sentences of the document; mix questions with a few words.\n"
        "- A query is specific enough that this document is the best result among many.\n"
        "- Use the language of the document.\n"
        'Reply with one JSON object and nothing else: {{"queries": ["…"]}}'
    ),
    schema={
        "type": "object",
        "properties": {"queries": {"type": "array", "items": {"type": "string"}}},
        "required": ["queries"],
        "additionalProperties": False,
    },
    user=_document,
    check=_check_queries,
    reply_tokens=20,
)


# --- reasoned answers that cite ---------------------------------------------------------------


def _question_and_document(inputs: Inputs) -> str:
    text = f"{_document(inputs)}\n\nQuestion: {inputs['question']}"
    answers: Sequence[str] = inputs.get("answers", ())
    return text + (f"\nThe right answer: {' / '.join(answers)}" if answers else "")


def check_citation(text: str, oracle: str) -> tuple[str | None, tuple[str, ...]]:
    """A RAFT answer with its quotes as they stand in `oracle`; or None and what is wrong with it."""
    faults: list[str] = []
    if text.count(ANSWER_MARK) != 1:
        faults.append(f"`{ANSWER_MARK}` stands {text.count(ANSWER_MARK)} times instead of once")
    pieces = re.split(f"({re.escape(QUOTE_BEGIN)}|{re.escape(QUOTE_END)})", text)
    marks = pieces[1::2]
    if not marks:
        faults.append(f"nothing is quoted between {QUOTE_BEGIN} and {QUOTE_END}")
    elif marks != [QUOTE_BEGIN, QUOTE_END] * (len(marks) // 2):
        faults.append(f"{QUOTE_BEGIN} and {QUOTE_END} do not stand in pairs")
    else:
        for index in range(2, len(pieces), 4):
            span = find_span(pieces[index], oracle)
            if span is None:
                faults.append(
                    f"the quote `{excerpt(pieces[index])}` does not stand in the document word for word"
                )
            else:
                pieces[index] = span
    if not faults:
        final = "".join(pieces).partition(ANSWER_MARK)[2]
        if not final.strip():
            faults.append(f"nothing stands behind `{ANSWER_MARK}`")
        elif QUOTE_BEGIN in final:
            faults.append(f"quotes stand before `{ANSWER_MARK}`, not behind it")
    return (None, tuple(faults)) if faults else ("".join(pieces).strip(), ())


def final_answer(text: str) -> str:
    return text.partition(ANSWER_MARK)[2].strip()


def _check_answer(reply: JsonObject, inputs: Inputs) -> Checked:
    text = reply.get("text")
    if not isinstance(text, str):
        return Checked(value=None, faults=("`text` is not text",), enough=False)
    mended, faults = check_citation(text, inputs["document"])
    if mended is None:
        return Checked(value=None, faults=faults, enough=False)
    answers: Sequence[str] = inputs.get("answers", ())
    words = set(_words(final_answer(mended)))
    if answers and not any(words & set(_words(answer)) for answer in answers):
        fault = f"the answer behind `{ANSWER_MARK}` has no word of the right answer"
        return Checked(value=None, faults=(fault,), enough=False)
    return Checked(value={"text": mended})


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


ANSWERS = Task(
    name="answers",
    version=1,
    system=(
        "You answer a question from one document. Reason step by step, and cite the sentences that you rely "
        f"on word for word, each between {QUOTE_BEGIN} and {QUOTE_END}. Then finish with {ANSWER_MARK} and "
        "the short answer. For example:\n"
        f"The question is when the office opens. The document says {QUOTE_BEGIN}The office opens at nine."
        f"{QUOTE_END}, so it opens at nine. {ANSWER_MARK} at nine\n"
        f"- Quotes are exact copies of the document. {ANSWER_MARK} stands once, at the end.\n"
        "- Use the language of the question.\n"
        'Reply with one JSON object and nothing else: {{"text": "…"}}'
    ),
    schema={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
    user=_question_and_document,
    check=_check_answer,
    reply_tokens=150,
)


# --- grades -----------------------------------------------------------------------------------


def _triple(inputs: Inputs) -> str:
    text = f"{_document(inputs)}\n\nQuestion: {inputs['question']}"
    return text + (f"\nAnswer: {inputs['answer']}" if inputs.get("answer") else "")


def _check_grade(reply: JsonObject, inputs: Inputs) -> Checked:
    del inputs
    score = reply.get("score")
    if isinstance(score, str) and score.strip().isdecimal():
        score = int(score)
    if isinstance(score, float) and score.is_integer():
        score = int(score)
    if isinstance(score, bool) or not isinstance(score, int) or not 1 <= score <= 5:
        return Checked(value=None, faults=("`score` is not a whole number from 1 to 5",), enough=False)
    return Checked(value={"score": score})


JUDGE = Task(
    name="judge",
    version=1,
    system=(
        "You grade training data for search and question answering. You get a document, a question, and "
        "sometimes an answer. Give a grade from 1 to 5:\n"
        "5: the question is clear on its own, the document answers it fully, and the answer is right.\n"
        "4: the same, with a small flaw of wording.\n"
        "3: the document answers it in part, or the question is vague.\n"
        "2: the document hardly helps, or the answer is incomplete.\n"
        "1: the document does not answer it, the answer is wrong, or the question makes no sense.\n"
        'Reply with one JSON object and nothing else: {{"reason": "one sentence", "score": 1}}'
    ),
    schema={
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "score": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    },
    user=_triple,
    check=_check_grade,
    reply_tokens=40,
)

TASKS = {task.name: task for task in (QUESTIONS, QUERIES, ANSWERS, JUDGE)}
