"""What is stored, read back without a network: rows for the data room, and what is still to be asked.

Everything here is a function of the request, the texts and the cache's content, whatever order the
answers came in.
"""

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.codes import SYNTH_MISSING
from ftspec.diagnostics.model import Diagnostic
from ftspec.plan.synth import ANSWERS, QUESTIONS, SynthRequest, SynthSettings
from ftspec.synth.ask import Ask, Result, judging_recipe, writing_recipe
from ftspec.synth.cache import Cache
from ftspec.synth.tasks import final_answer

Documents = Sequence[tuple[str, str]]  # (id, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthRow:
    """A question, or a query, that was written from a document. `answers` are spans of it, verbatim."""

    document_id: str
    question: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerItem:
    """A question with its oracle, which an answer is to be written for."""

    question: str
    document: str
    answers: tuple[str, ...] = ()  # known right ones; () where there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of a request's texts. `missing` requests are not answered yet."""

    documents: int = 0  # documents, or questions, that are asked
    cut_documents: int = 0  # longer than max_document_chars
    missing: int = 0
    dropped: int = 0  # requests whose replies could not be used
    written: int = 0  # questions, queries or answers
    not_found_first: int = 0  # left out by round_trip
    low_grades: int = 0  # left out by the judge
    kept: int = 0


def stored_questions(
    request: SynthRequest, documents: Documents, cache_dir: Path
) -> tuple[tuple[SynthRow, ...], int]:
    """Rows in the order of the documents, and how many requests nobody has answered yet.

    `cache_dir` is `.ftspec/synth`. With a missing count above 0 the rows are a part of those to come.
    """
    rows, counts = read_questions(request, documents, Cache(cache_dir))
    return rows, counts.missing


def stored_answers(
    request: SynthRequest, items: Sequence[AnswerItem], cache_dir: Path
) -> tuple[tuple[str | None, ...], int]:
    """For each item its RAFT answer, None where no usable one was written; and how many are missing."""
    answers, counts = read_answers(request, items, Cache(cache_dir))
    return answers, counts.missing


def missing_diagnostic(spec: str, missing: int, *, about: tuple[str | int, ...] = ()) -> Diagnostic:
    """FTS750 for the data room. `spec` is the path as the user wrote it; "" where it is not known."""
    return Diagnostic(
        code=SYNTH_MISSING,
        detail=f"{missing:,} request{'' if missing == 1 else 's'} to the model not made yet",
        help=f"ftspec synth {shlex.quote(spec or 'SPEC')}",
        about=about,
    )


# --- what is to be asked ----------------------------------------------------------------------


def chosen_documents(documents: Documents, settings: SynthSettings) -> list[int]:
    """Positions of the documents that are asked, in order: each text once, none that is empty, and at most
    `limit` of them, drawn by `seed` and text."""
    first: dict[str, int] = {}
    for index, (_, text) in enumerate(documents):
        if text.strip():
            first.setdefault(text, index)
    if settings.limit is not None and len(first) > settings.limit:
        drawn = sorted(first, key=lambda text: _draw(settings.seed or 0, text))[: settings.limit]
        return sorted(first[text] for text in drawn)
    return list(first.values())


def _draw(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def writing_asks(request: SynthRequest, documents: Documents) -> list[tuple[int, Ask]]:
    """(position of the document, what it is asked)"""
    settings = request.settings
    recipe = writing_recipe(settings, request.task)
    digest = recipe.digest
    return [
        (index, recipe.ask(digest, {"document": documents[index][1][: settings.max_document_chars]}))
        for index in chosen_documents(documents, settings)
    ]


def answering_asks(request: SynthRequest, items: Sequence[AnswerItem]) -> list[Ask]:
    """One for each item; the same item twice is the same ask."""
    assert request.task == ANSWERS
    settings = request.settings
    recipe = writing_recipe(settings, ANSWERS)
    digest = recipe.digest
    return [
        recipe.ask(
            digest,
            {
                "document": item.document[: settings.max_document_chars],
                "question": item.question,
                "answers": item.answers,
            },
        )
        for item in items
    ]


def judging_asks(settings: SynthSettings, triples: Iterable[tuple[str, str, str]]) -> list[Ask]:
    """One for each (question, document, answer); the answer may be ""."""
    recipe = judging_recipe(settings)
    digest = recipe.digest
    return [
        recipe.ask(
            digest, {"question": question, "document": text[: settings.max_document_chars], "answer": answer}
        )
        for question, text, answer in triples
    ]


def question_asks(request: SynthRequest, documents: Documents, cache: Cache) -> list[Ask]:
    """All that can be asked by now: the writing, and the grades of what is written."""
    asks = [ask for _, ask in writing_asks(request, documents)]
    if request.settings.judge is not None:
        candidates, _ = read_candidates(request, documents, cache)
        asks += judging_asks(request.settings, (each.triple for each in candidates))
    return asks


def answer_asks(request: SynthRequest, items: Sequence[AnswerItem], cache: Cache) -> list[Ask]:
    """The same of written answers."""
    asks = answering_asks(request, items)
    if request.settings.judge is not None:
        plain = replace(request, settings=replace(request.settings, judge=None))
        answers, _ = read_answers(plain, items, cache)
        asks += judging_asks(request.settings, answered_triples(items, answers))
    return asks


# --- what came back ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row that was written, before the judge. `text` is its document."""

    row: SynthRow
    text: str

    @property
    def triple(self) -> tuple[str, str, str]:
        return self.row.question, self.text, " / ".join(self.row.answers)


def read_questions(
    request: SynthRequest, documents: Documents, cache: Cache
) -> tuple[tuple[SynthRow, ...], Counts]:
    candidates, counts = read_candidates(request, documents, cache)
    if request.settings.judge is not None:
        asks = judging_asks(request.settings, (each.triple for each in candidates))
        passed, counts = _judged(request.settings, asks, cache, counts)
        candidates = [each for each, good in zip(candidates, passed, strict=True) if good]
    return tuple(each.row for each in candidates), replace(counts, kept=len(candidates))


def read_candidates(
    request: SynthRequest, documents: Documents, cache: Cache
) -> tuple[list[Candidate], Counts]:
    """What was written, and passes the round trip where one is asked for."""
    settings = request.settings
    missing = dropped = 0
    found: list[tuple[int, SynthRow]] = []
    asks = writing_asks(request, documents)
    for index, ask in asks:
        result = lookup(cache, ask)
        if result is None:
            missing += 1
        elif result.value is None:
            dropped += 1
        else:
            found.extend((index, row) for row in _rows(request.task, documents[index][0], result))
    kept = found
    if settings.round_trip and found:
        from ftspec.synth.bm25 import found_first

        queries = [(row.question, index) for index, row in found]
        passed = found_first(queries, [text for _, text in documents])
        kept = [each for each, good in zip(found, passed, strict=True) if good]
    return (
        [Candidate(row=row, text=documents[index][1]) for index, row in kept],
        Counts(
            documents=len(asks),
            cut_documents=sum(len(documents[index][1]) > settings.max_document_chars for index, _ in asks),
            missing=missing,
            dropped=dropped,
            written=len(found),
            not_found_first=len(found) - len(kept),
        ),
    )


def read_answers(
    request: SynthRequest, items: Sequence[AnswerItem], cache: Cache
) -> tuple[tuple[str | None, ...], Counts]:
    answers: list[str | None] = []
    missing: set[str] = set()
    dropped = 0
    for ask in answering_asks(request, items):
        result = lookup(cache, ask)
        if result is None:
            missing.add(ask.key)
        elif result.value is None:
            dropped += 1
        answers.append(None if result is None or result.value is None else result.value["text"])
    counts = Counts(
        documents=len(items),
        cut_documents=sum(len(item.document) > request.settings.max_document_chars for item in items),
        missing=len(missing),
        dropped=dropped,
        written=sum(answer is not None for answer in answers),
    )
    if request.settings.judge is not None:
        asks = judging_asks(request.settings, answered_triples(items, answers))
        passed, counts = _judged(request.settings, asks, cache, counts)
        verdicts = iter(passed)
        answers = [None if answer is None or not next(verdicts) else answer for answer in answers]
    return tuple(answers), replace(counts, kept=sum(answer is not None for answer in answers))


def answered_triples(
    items: Sequence[AnswerItem], answers: Sequence[str | None]
) -> list[tuple[str, str, str]]:
    """What the judge sees of the items that have an answer."""
    return [
        (item.question, item.document, final_answer(answer))
        for item, answer in zip(items, answers, strict=True)
        if answer is not None
    ]


def lookup(cache: Cache, ask: Ask) -> Result | None:
    return cache.get(ask.recipe_digest, ask.recipe.task.name, ask.key)


def _rows(task: str, document_id: str, result: Result) -> list[SynthRow]:
    assert result.value is not None
    if task == QUESTIONS:
        return [
            SynthRow(document_id=document_id, question=each["question"], answers=(each["answer"],))
            for each in result.value["questions"]
        ]
    return [SynthRow(document_id=document_id, question=query) for query in result.value["queries"]]


def _judged(
    settings: SynthSettings, asks: Sequence[Ask], cache: Cache, counts: Counts
) -> tuple[list[bool], Counts]:
    """For each ask whether its grade suffices. A grade that could not be had leaves the row out."""
    assert settings.judge is not None
    results = [lookup(cache, ask) for ask in asks]
    passed = [
        result is not None and result.value is not None and result.value["score"] >= settings.judge.min_score
        for result in results
    ]
    missing = {ask.key for ask, result in zip(asks, results, strict=True) if result is None}
    dropped = sum(result is not None and result.value is None for result in results)
    low = sum(result is not None and result.value is not None for result in results) - sum(passed)
    return passed, replace(
        counts, missing=counts.missing + len(missing), dropped=counts.dropped + dropped, low_grades=low
    )
