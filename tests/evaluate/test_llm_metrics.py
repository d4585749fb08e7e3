"""Values of written answers against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.evaluate.text_metrics import (
    RaftRow,
    answer_form,
    answer_part,
    exact_match,
    is_refusal,
    normalise_answer,
    oracle_cited,
    quotes,
    quotes_valid,
    text_value,
    token_f1,
)
from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END, REFUSAL
from ftspec.plan.metrics import metrics_of

ORACLE = "The Seine flows\nthrough Paris. It is 777 km long."
DISTRACTORS = ("The Rhine flows through Basel.", "It is long. The Seine flows through Paris, too.")


def cite(*parts: str, answer: str = "Paris") -> str:
    return " ".join(f"{QUOTE_BEGIN}{part}{QUOTE_END}" for part in parts) + f" {ANSWER_MARK} {answer}"


def raft(*, present: bool = True, refuse: bool = False) -> RaftRow:
    return RaftRow(oracle=ORACLE, distractors=DISTRACTORS, present=present, refuse=refuse)


def test_normalised_as_squad_does() -> None:
    assert normalise_answer("The  U.S.A., a\nplace!") == "usa place"
    assert normalise_answer("theatre an") == "theatre"
    assert normalise_answer("!?") == ""


def test_the_answer_follows_the_mark() -> None:
    assert answer_part("I think <ANSWER>: Paris \n") == "Paris"
    assert answer_part(" Paris ") == "Paris"
    assert answer_part("a <ANSWER>: b <ANSWER>: c") == "c"
    assert answer_part("a <ANSWER>:") == ""


@pytest.mark.parametrize(
    ("text", "answers", "match", "f1"),
    [
        ("<ANSWER>: The Paris.", ["paris"], 1.0, 1.0),
        ("the city of Paris", ["Paris"], 0.0, 0.5),  # p 1/3, r 1
        ("in 1889 in Paris", ["Paris in France", "London"], 0.0, 4 / 7),  # 2 shared of 4 and 3
        ("London", ["Paris", "London", "Rome"], 1.0, 1.0),
        ("", ["Paris"], 0.0, 0.0),
        ("", ["the"], 1.0, 1.0),
        ("Berlin", ["Paris"], 0.0, 0.0),
    ],
)
def test_agreement_by_hand(text: str, answers: list[str], match: float, f1: float) -> None:
    assert exact_match(text, answers) == match
    assert token_f1(text, answers) == pytest.approx(f1)


def test_quotes_stand_between_the_marks() -> None:
    assert quotes(cite("one  two", "three")) == ("one two", "three")
    assert quotes(f"{QUOTE_BEGIN}never closed") == ()
    assert quotes(f"{QUOTE_END}{QUOTE_BEGIN}") == ()
    assert quotes(f"{QUOTE_BEGIN}{QUOTE_END}") == ("",)


@pytest.mark.parametrize(
    ("cited", "valid", "oracle"),
    [
        (("The Seine flows through Paris.",), 1.0, 1.0),  # the line break of the document is white space
        (("flows through",), 1.0, 1.0),  # stands in a distractor as well
        (("the seine flows",), 0.0, 0.0),
        (("It is 777 km long.", "The Rhine flows"), 0.5, 0.0),  # one only from a distractor
        (("It is 777 km long.", "made up"), 0.5, 1.0),  # made up is from no document
        (("The Rhine flows",), 0.0, 0.0),
        (("",), 0.0, 0.0),
        ((), 0.0, 0.0),
    ],
)
def test_citations_by_hand(cited: tuple[str, ...], valid: float, oracle: float) -> None:
    assert quotes_valid(cite(*cited), ORACLE) == valid
    assert oracle_cited(cite(*cited), ORACLE, DISTRACTORS) == oracle


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (f"{ANSWER_MARK} {REFUSAL}", True),
        ("the documents do NOT answer this", True),
        (f"{REFUSAL} It might be Paris.", True),
        ("The documents do not answer this7", False),
        ("I do not know.", False),
        ("", False),
    ],
)
def test_refusals(text: str, is_one: bool) -> None:
    assert is_refusal(text) is is_one


def test_a_refusal_is_right_only_where_it_was_trained() -> None:
    assert text_value("refused", REFUSAL, (), raft(present=False, refuse=True)) == 1
    assert text_value("refused", "Paris", (), raft(present=False, refuse=True)) == 0
    assert text_value("refused", REFUSAL, (), raft()) == 0
    assert text_value("refused", "Paris", (), raft()) == 1
    assert text_value("refused", REFUSAL, (), raft(present=False)) is None


def test_exactly_one_mark() -> None:
    assert [answer_form(text) for text in ("x", "<ANSWER>: x", "<ANSWER>: x <ANSWER>: y")] == [0, 1, 0]


@pytest.mark.parametrize(
    ("metric", "answers", "facts", "defined"),
    [
        ("exact_match", ("x",), None, True),
        ("exact_match", (), None, False),
        ("token_f1", ("x",), raft(present=False), True),
        ("token_f1", ("x",), raft(present=False, refuse=True), False),
        ("quotes_valid", (), raft(), True),
        ("quotes_valid", (), raft(present=False), False),
        ("oracle_cited", (), raft(), True),
        ("oracle_cited", ("x",), None, False),
        ("answer_form", (), raft(present=False), True),
        ("answer_form", ("x",), None, False),
        ("refused", ("x",), None, False),
    ],
)
def test_where_a_metric_is_defined(
    metric: str, answers: tuple[str, ...], facts: RaftRow | None, defined: bool
) -> None:
    assert (text_value(metric, "Paris", answers, facts) is not None) is defined


texts = st.text(alphabet="ab the.\n", max_size=20) | st.sampled_from(
    [cite("The Seine"), REFUSAL, "<ANSWER>: a"]
)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_values_lie_between_0_and_1(text: str, answers: list[str], present: bool, refuse: bool) -> None:
    for traits in metrics_of("LLM"):
        if traits.needs_generation:
            facts = raft(present=present, refuse=refuse and not present)
            value = text_value(traits.name, text, answers, facts)
            assert value is None or 0 <= value <= 1
    assert token_f1(text, answers) >= exact_match(text, answers)
    assert token_f1(text, answers) == token_f1(text, answers[::-1])
    assert exact_match(answers[0], answers) == 1 or ANSWER_MARK in answers[0]


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=5), max_size=4), st.randoms())
def test_the_order_of_quotes_changes_nothing(cited: list[str], random: object) -> None:
    shuffled = list(cited)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    oracle, others = "aa bb cc", ("ab", "c a")
    assert quotes_valid(cite(*cited), oracle) == quotes_valid(cite(*shuffled), oracle)
    assert oracle_cited(cite(*cited), oracle, others) == oracle_cited(cite(*shuffled), oracle, others)
