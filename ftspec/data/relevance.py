"""From rows to a ranking task: which documents are relevant for which query.

* Rows with a positive: it is relevant with the row's grade, negatives are judged irrelevant (0).
* Binary pairs: relevant where the label is 1. Scored pairs: where the score is at or above the middle
  of the range of all scores.
* Labelled classes: the texts of each class are halved by hash into queries and documents, so that no
  text is ranked for itself; documents of the query's class are relevant. At most 1,000 texts of a
  class, drawn by hash, keep the number of judgements in bounds.
"""

from collections.abc import Iterable

from ftspec.data.rows import EvalQuery, Evaluation, Row, RowFault, normalise, order_hash, text_id

_MAX_CLASS_TEXTS = 1_000


def score_threshold(rows: Iterable[Row]) -> float | None:
    """Middle of the range of the scores; None when no row has one."""
    scores = [row.score for row in rows if row.score is not None]
    return (min(scores) + max(scores)) / 2 if scores else None


def grade_of(row: Row, threshold: float | None) -> int:
    if row.label is not None:
        return int(row.label == 1)
    if row.score is not None and threshold is not None:
        return int(row.score >= threshold)
    return row.grade


def describe(rows: Iterable[Row], threshold: float | None) -> str:
    """How relevance was read from the rows; "" where it is given by judgement."""
    first = next(iter(rows), None)
    if first is None or (first.label is None and first.score is None):
        return ""
    if first.positive is None:
        return "same class"
    return "label is 1" if first.label is not None else f"score >= {threshold:g} (middle of the range)"


def evaluation_of(items: Iterable[Row | RowFault]) -> tuple[Evaluation, tuple[RowFault, ...]]:
    rows: list[Row] = []
    faults: list[RowFault] = []
    for item in items:
        if isinstance(item, Row):
            rows.append(item)
        else:
            faults.append(item)
    return ranking_task(rows, score_threshold(rows)), tuple(faults)


def ranking_task(rows: Iterable[Row], threshold: float | None) -> Evaluation:
    """Queries without a relevant document are left out; equal texts are one query, one document."""
    listed = list(rows)
    if any(row.positive is None for row in listed):
        return _class_task(listed)
    queries: dict[str, tuple[str, Row]] = {}
    documents: dict[str, tuple[str, str]] = {}  # normalised text -> (id, text)
    grades: dict[tuple[str, str], int] = {}
    for row in listed:
        assert row.positive is not None
        assert row.positive_id is not None
        query_id, _ = queries.setdefault(normalise(row.query), (row.query_id, row))
        judged = [(row.positive_id, row.positive, grade_of(row, threshold))]
        judged += [(text_id("d", text), text, 0) for text in row.negatives]
        for id, text, grade in judged:
            document_id, _ = documents.setdefault(normalise(text), (id, text))
            pair = (query_id, document_id)
            grades[pair] = max(grade, grades.get(pair, 0))
    return _judged(queries.values(), documents.values(), grades)


def _class_task(rows: list[Row]) -> Evaluation:
    texts: dict[str, Row] = {}
    for row in rows:
        texts.setdefault(normalise(row.query), row)
    classes: dict[str, list[Row]] = {}
    for key in sorted(texts, key=lambda text: order_hash(0, "class", text)):
        classes.setdefault(str(texts[key].label), []).append(texts[key])
    queries: list[tuple[str, Row]] = []
    documents: list[tuple[str, str]] = []
    grades: dict[tuple[str, str], int] = {}
    for _, members in sorted(classes.items()):
        del members[_MAX_CLASS_TEXTS:]
        half = len(members) // 2
        queries += [(row.query_id, row) for row in members[:half]]
        documents += [(text_id("d", row.query), row.query) for row in members[half:]]
        for query in members[:half]:
            for document in members[half:]:
                grades[query.query_id, text_id("d", document.query)] = 1
    return _judged(queries, documents, grades)


def _judged(
    queries: Iterable[tuple[str, Row]],
    documents: Iterable[tuple[str, str]],
    grades: dict[tuple[str, str], int],
) -> Evaluation:
    answered = {query_id for (query_id, _), grade in grades.items() if grade > 0}
    return Evaluation(
        queries=tuple(
            EvalQuery(id=id, text=row.query, slices=_slices(row)) for id, row in queries if id in answered
        ),
        documents=tuple(documents),
        grades={pair: grade for pair, grade in grades.items() if pair[0] in answered},
    )


def _slices(row: Row) -> tuple[tuple[str, str], ...]:
    slices = dict(row.slices)
    if row.group is not None:
        slices["group"] = row.group
    return tuple(sorted(slices.items()))
