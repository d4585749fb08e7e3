"""Split: training rows, the test side and the validation side, sampled to the limits."""

from collections.abc import Iterable
from dataclasses import dataclass

from ftspec.data.collect import Dataset
from ftspec.data.holdout import drop_shared, hold_out, mode_of
from ftspec.data.relevance import describe, grade_of, ranking_task, score_threshold
from ftspec.data.rows import Evaluation, Row, normalise, order_hash
from ftspec.diagnostics.codes import SPLIT_EMPTY
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.embedding import Limit
from ftspec.plan.embedding_stages import VERSIONS
from ftspec.plan.model import Split

SPLIT_VERSION = VERSIONS["split"]  # raised there when the same rows and settings give another split
_EXAMPLES = 5
_EXAMPLE_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Texts of the training rows that a given evaluation also holds (normalised, distinct)."""

    queries: int = 0
    positives: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    train: tuple[Row, ...]  # sampled to the limit
    available: int  # training rows before the limit
    judged: dict[str, tuple[str, ...]]  # query id -> all documents relevant for it
    test: Evaluation
    validation: Evaluation | None
    mode: str  # given | group | positive | random
    dropped: int
    leakage: Leakage
    relevance: str
    classes: tuple[str, ...]


def divide(dataset: Dataset, split: Split, limit: Limit) -> tuple[Parts | None, Diagnostics]:
    """Hold out test and validation; no query or positive of theirs is left among the training rows.

    Limits apply after the split: training rows and queries are sampled by hash, judged documents stay.
    The validation side is sampled to the limits of the test side. With `leakage: fail`, training rows
    that a given evaluation also holds stay, and `Parts.leakage` counts them.
    """
    found = Diagnostics()
    threshold = score_threshold(dataset.rows)
    rows = dataset.rows
    dropped = 0
    by = split.by
    if by == "auto":
        # the groups of a BEIR folder are labels to slice by, and promise nothing about a split
        has_beir = any(source.type == "beir" for source in dataset.sources)
        by = "positive" if has_beir else mode_of(rows)
    leakage = Leakage()
    if dataset.evaluation is not None:
        mode, test = "given", dataset.evaluation
        queries = {normalise(query.text) for query in test.queries}
        positives = _relevant_texts(test)
        if split.leakage == "drop_train":
            rows, shared = drop_shared(rows, queries=queries, positives=positives)
            dropped += len(shared)
        else:
            leakage = _leakage(rows, queries, positives)
    else:
        held = hold_out(rows, mode=by, share=split.test, seed=split.seed, purpose="test")
        mode = by = held.mode  # validation goes the same way
        rows, dropped = held.kept, len(held.dropped)
        test = ranking_task(held.held, threshold)
    validation = None
    if split.validation > 0 and rows:
        held = hold_out(rows, mode=by, share=split.validation, seed=split.seed, purpose="validation")
        rows, dropped = held.kept, dropped + len(held.dropped)
        validation = _limited(ranking_task(held.held, threshold), limit, split.seed, "validation")
        if not validation.queries:
            found.add(SPLIT_EMPTY, "validation: no query with a relevant document", help=_HELP, about=_ABOUT)
    if not test.queries:
        found.add(SPLIT_EMPTY, "test: no query with a relevant document", help=_HELP, about=_ABOUT)
    if not rows:
        found.add(
            SPLIT_EMPTY,
            f"train: no row is left, {dropped} dropped for shared texts",
            help=_HELP,
            about=_ABOUT,
        )
    if found.has_errors:
        return None, found
    return (
        Parts(
            train=_sampled(rows, limit.train, split.seed),
            available=len(rows),
            judged=_judged(rows, threshold),
            test=_limited(test, limit, split.seed, "test"),
            validation=validation,
            mode=mode,
            dropped=dropped,
            leakage=leakage,
            relevance=describe(dataset.rows, threshold),
            classes=tuple(sorted({str(row.label) for row in dataset.rows if _has_class(row)})),
        ),
        found,
    )


_HELP = "give more data, another `data.split.by`, or another share"
_ABOUT = ("data", "split")


def _has_class(row: Row) -> bool:
    return row.positive is None and row.label is not None


def _relevant_texts(evaluation: Evaluation) -> set[str]:
    relevant = {document for (_, document), grade in evaluation.grades.items() if grade > 0}
    return {normalise(text) for id, text in evaluation.documents if id in relevant}


def _leakage(rows: Iterable[Row], queries: set[str], positives: set[str]) -> Leakage:
    shared_queries: dict[str, str] = {}
    shared_positives: dict[str, str] = {}
    for row in rows:
        if normalise(row.query) in queries:
            shared_queries.setdefault(normalise(row.query), row.query)
        if row.positive is not None and normalise(row.positive) in positives:
            shared_positives.setdefault(normalise(row.positive), row.positive)
    first = [f"query: {_short(text)}" for text in shared_queries.values()][: _EXAMPLES - 2]
    rest = [f"positive: {_short(text)}" for text in shared_positives.values()]
    return Leakage(
        queries=len(shared_queries),
        positives=len(shared_positives),
        examples=tuple((first + rest)[:_EXAMPLES]),
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXAMPLE_CHARS else line[: _EXAMPLE_CHARS - 1] + "…"


def row_key(row: Row) -> str:
    """Content that tells rows apart, for draws that do not depend on their order."""
    texts = (row.query, row.positive or "", *row.negatives, str(row.label))
    return "\0".join(map(normalise, texts))


def _sampled(rows: tuple[Row, ...], count: int | None, seed: int) -> tuple[Row, ...]:
    """At most `count` rows, drawn by hash, in the order in which they were read."""
    if count is None or len(rows) <= count:
        return rows
    order = sorted(range(len(rows)), key=lambda n: (order_hash(seed, "train", row_key(rows[n])), n))
    return tuple(rows[n] for n in sorted(order[:count]))


def _limited(evaluation: Evaluation, limit: Limit, seed: int, purpose: str) -> Evaluation:
    queries = evaluation.queries
    if limit.test_queries is not None and len(queries) > limit.test_queries:
        drawn = sorted(queries, key=lambda query: order_hash(seed, f"{purpose} queries", query.id))
        chosen = {query.id for query in drawn[: limit.test_queries]}
        queries = tuple(query for query in queries if query.id in chosen)
    ids = {query.id for query in queries}
    grades = {pair: grade for pair, grade in evaluation.grades.items() if pair[0] in ids}
    documents = evaluation.documents
    if limit.test_documents is not None and len(documents) > limit.test_documents:
        judged = {document for _, document in grades}
        others = sorted(
            (id for id, _ in documents if id not in judged),
            key=lambda id: order_hash(seed, f"{purpose} documents", id),
        )
        kept = judged | set(others[: max(0, limit.test_documents - len(judged))])
        documents = tuple(item for item in documents if item[0] in kept)
    return Evaluation(queries=queries, documents=documents, grades=grades)


def _judged(rows: tuple[Row, ...], threshold: float | None) -> dict[str, tuple[str, ...]]:
    relevant: dict[str, set[str]] = {}
    for row in rows:
        if row.positive_id is not None and grade_of(row, threshold) > 0:
            relevant.setdefault(row.query_id, set()).add(row.positive_id)
    return {query: tuple(sorted(documents)) for query, documents in relevant.items()}
