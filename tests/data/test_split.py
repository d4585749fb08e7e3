import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.data.collect import Dataset
from ftspec.data.holdout import hold_out
from ftspec.data.parts import Parts, divide
from ftspec.data.relevance import ranking_task
from ftspec.data.rows import EvalQuery, Evaluation, Row, normalise, text_id
from ftspec.diagnostics.codes import SPLIT_EMPTY
from ftspec.plan.embedding import Limit
from ftspec.plan.model import Split

NO_LIMIT = Limit(train=None, test_queries=None, test_documents=None)
WORDS = st.sampled_from(["a", "A ", " b", "b", "ß", "SS", "c  d", "C d", "e", "f", "g", "h", "i"])


@st.composite
def some_rows(draw: st.DrawFn) -> Row:
    query, positive = draw(WORDS), draw(WORDS)
    return Row(
        query_id=text_id("q", query),
        query=query,
        positive_id=text_id("d", positive),
        positive=positive,
        negatives=tuple(draw(st.lists(WORDS, max_size=2))),
        label=draw(st.sampled_from([None, 0, 1])),
        group=draw(st.sampled_from([None, "x", "y", "z"])),
    )


ROWS = st.lists(some_rows(), min_size=1, max_size=40).map(tuple)
MODES = st.sampled_from(["auto", "group", "positive", "random"])


def make_split(by: str = "positive", **changes: object) -> Split:
    return replace(Split(by=by, test=0.3, validation=0.0, seed=1), **changes)  # type: ignore[arg-type]


def dataset(rows: tuple[Row, ...], evaluation: Evaluation | None = None) -> Dataset:
    return Dataset(rows=rows, evaluation=evaluation, sources=(), duplicates_removed=0, filtered_out=0)


def texts(rows: tuple[Row, ...]) -> tuple[set[str], set[str]]:
    queries = {normalise(row.query) for row in rows}
    return queries, {normalise(row.positive) for row in rows if row.positive is not None}


def relevant(evaluation: Evaluation) -> tuple[set[str], set[str]]:
    judged = {document for (_, document), grade in evaluation.grades.items() if grade > 0}
    documents = {normalise(text) for id, text in evaluation.documents if id in judged}
    return {normalise(query.text) for query in evaluation.queries}, documents


def assert_disjoint(parts: Parts) -> None:
    sides = [texts(parts.train), relevant(parts.test)]
    if parts.validation is not None:
        sides.append(relevant(parts.validation))
    for place, one in enumerate(sides):
        for other in sides[place + 1 :]:
            assert not one[0] & other[0]
            assert not one[1] & other[1]


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    mode=st.sampled_from(["group", "positive", "random"]),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_no_text_is_on_both_sides(rows: tuple[Row, ...], mode: str, share: float, seed: int) -> None:
    found = hold_out(rows, mode=mode, share=share, seed=seed, purpose="test")
    kept, held = texts(found.kept), texts(found.held)
    assert not kept[0] & held[0]
    assert not kept[1] & held[1]
    assert len(found.kept) + len(found.held) + len(found.dropped) == len(rows)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, mode=MODES, validation=st.sampled_from([0.0, 0.3]), seed=st.integers(0, 99))
def test_three_sides_are_disjoint(rows: tuple[Row, ...], mode: str, validation: float, seed: int) -> None:
    parts, found = divide(dataset(rows), make_split(mode, validation=validation, seed=seed), NO_LIMIT)
    if parts is None:
        assert {item.code for item in found} == {SPLIT_EMPTY}
    else:
        assert_disjoint(parts)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, test=ROWS, mode=MODES)
def test_drop_train_leaves_no_leak(rows: tuple[Row, ...], test: tuple[Row, ...], mode: str) -> None:
    evaluation = ranking_task(test, None)
    parts, _ = divide(
        dataset(rows, evaluation), make_split(mode, leakage="drop_train", validation=0.2), NO_LIMIT
    )
    if parts is not None:
        assert_disjoint(parts)
        assert parts.leakage.queries == parts.leakage.positives == 0


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, mode=st.sampled_from(["group", "positive", "random"]), seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(rows: tuple[Row, ...], mode: str, seed: int) -> None:
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    one = hold_out(rows, mode=mode, share=0.3, seed=seed, purpose="test")
    other = hold_out(tuple(shuffled), mode=mode, share=0.3, seed=seed, purpose="test")
    assert texts(one.held) == texts(other.held)
    assert texts(one.kept) == texts(other.kept)


def distinct(count: int, groups: int = 0) -> tuple[Row, ...]:
    return tuple(
        Row(
            query_id=f"q{n}",
            query=f"query {n}",
            positive_id=f"d{n}",
            positive=f"document {n}",
            group=f"g{n % groups}" if groups else None,
        )
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("mode", "groups", "resolved"), [("auto", 50, "group"), ("auto", 0, "positive"), ("random", 0, "random")]
)
def test_the_share_is_met(mode: str, groups: int, resolved: str) -> None:
    parts, _ = divide(dataset(distinct(500, groups)), make_split(mode, test=0.2, validation=0.25), NO_LIMIT)
    assert parts is not None
    assert parts.mode == resolved
    assert parts.validation is not None
    assert abs(len(parts.test.queries) - 100) <= 10
    assert abs(len(parts.validation.queries) - 100) <= 10
    if groups:
        held = {value for query in parts.test.queries for _, value in query.slices}
        assert not held & {row.group for row in parts.train}


def test_limits_keep_judged_documents() -> None:
    limit = Limit(train=7, test_queries=5, test_documents=8)
    parts, _ = divide(dataset(distinct(200)), make_split(), limit)
    assert parts is not None
    assert (len(parts.train), len(parts.test.queries), len(parts.test.documents)) == (7, 5, 8)
    assert {document for _, document in parts.test.grades} <= {id for id, _ in parts.test.documents}
    assert parts.available == 140


def test_leaks_of_a_given_evaluation_are_counted() -> None:
    rows = distinct(10)
    evaluation = Evaluation(
        queries=(EvalQuery(id="t0", text="QUERY  1"), EvalQuery(id="t1", text="new")),
        documents=(("x", "document 2"), ("y", "document 3"), ("z", "fresh")),
        grades={("t0", "z"): 1, ("t1", "x"): 1, ("t1", "y"): 0},
    )
    parts, _ = divide(dataset(rows, evaluation), make_split(), NO_LIMIT)
    assert parts is not None
    assert (parts.leakage.queries, parts.leakage.positives, parts.mode) == (1, 1, "given")
    assert parts.leakage.examples == ("query: query 1", "positive: document 2")
    parts, _ = divide(dataset(rows, evaluation), make_split(leakage="drop_train"), NO_LIMIT)
    assert parts is not None
    assert (len(parts.train), parts.dropped) == (8, 2)


def test_one_unit_cannot_be_split() -> None:
    rows = tuple(replace(row, positive="same", positive_id="d") for row in distinct(10))
    parts, found = divide(dataset(rows), make_split(), NO_LIMIT)
    assert parts is None
    assert [item.code for item in found] == [SPLIT_EMPTY]


def test_relevance_of_labels_scores_and_classes() -> None:
    rows = distinct(100)
    binary = tuple(replace(row, label=n % 2) for n, row in enumerate(rows))
    parts, _ = divide(dataset(binary), make_split(), NO_LIMIT)
    assert parts is not None
    assert parts.relevance == "label is 1"
    assert len(parts.test.documents) == 30
    assert all(grade == 1 for grade in parts.test.grades.values())
    assert len(parts.test.queries) == len(parts.test.grades) < 30
    scored = tuple(replace(row, score=n / 20) for n, row in enumerate(rows))
    parts, _ = divide(dataset(scored), make_split(), NO_LIMIT)
    assert parts is not None
    assert parts.relevance == "score >= 2.475 (middle of the range)"
    labelled = tuple(Row(query_id=f"q{n}", query=f"text {n}", label="ab"[n % 2]) for n in range(100))
    parts, _ = divide(dataset(labelled), make_split(), NO_LIMIT)
    assert parts is not None
    assert (parts.relevance, parts.classes) == ("same class", ("a", "b"))
    ranked = {text for _, text in parts.test.documents}
    assert not ranked & {query.text for query in parts.test.queries}
    assert not ranked & {row.query for row in parts.train}


def test_judged_names_every_positive_of_a_query() -> None:
    rows = (*distinct(20), Row(query_id="q1", query="query 1", positive_id="d99", positive="more"))
    parts, _ = divide(dataset(rows), make_split(seed=3), NO_LIMIT)
    assert parts is not None
    judged = parts.judged.get("q1")
    assert judged is None or judged == ("d1", "d99")
