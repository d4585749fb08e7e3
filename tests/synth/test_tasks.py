"""The checks that decide whether a reply is used."""

import json

import pytest

from ftspec.plan.synth import TASKS as PLAN_TASKS
from ftspec.synth.bm25 import found_first
from ftspec.synth.reply import find_object
from ftspec.synth.tasks import TASKS, check_citation, find_span
from tests.synth.conftest import make_request

ORACLE = "The office opens at nine. It closes\nat five, except on Fridays."


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("at nine", "at nine"),
        ("AT NINE.", "at nine."),
        ('"at nine"', "at nine"),
        ("closes at five", "closes\nat five"),
        ("  ", None),
        ("at ten", None),
        ("nine (.*)", None),
    ],
)
def test_spans_are_taken_from_the_document(wanted: str, span: str | None) -> None:
    assert find_span(wanted, ORACLE) == span


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("##begin_quote##The office opens at nine.##end_quote## <ANSWER>: nine", None),
        (
            "A ##begin_quote##closes at five##end_quote## and ##begin_quote##at nine##end_quote## <ANSWER>: x",
            None,
        ),
        ("##begin_quote##The office opens at ten.##end_quote## <ANSWER>: ten", "word for word"),
        ("It opens at nine. <ANSWER>: nine", "nothing is quoted"),
        ("##begin_quote##at nine##end_quote## nine", "stands 0 times"),
        ("##begin_quote##at nine##end_quote## <ANSWER>: nine <ANSWER>: ten", "stands 2 times"),
        ("##begin_quote##at nine <ANSWER>: nine", "in pairs"),
        ("##end_quote##at nine##begin_quote## <ANSWER>: nine", "in pairs"),
        ("##begin_quote##at nine##end_quote## <ANSWER>:  ", "nothing stands behind"),
        ("<ANSWER>: ##begin_quote##at nine##end_quote##", "before"),
        ("##begin_quote## ##end_quote## <ANSWER>: nine", "word for word"),
    ],
)
def test_citations(text: str, fault: str | None) -> None:
    mended, faults = check_citation(text, ORACLE)
    assert (mended is None) == (fault is not None)
    assert fault is None or any(fault in each for each in faults), faults


def test_quotes_are_mended_to_the_letter() -> None:
    mended, _ = check_citation("##begin_quote##It closes at five##end_quote## <ANSWER>: five", ORACLE)
    assert mended == "##begin_quote##It closes\nat five##end_quote## <ANSWER>: five"


def test_a_written_answer_that_passes_is_a_row_for_the_data_room() -> None:
    """Both rooms judge citations; what one lets through the other must take."""
    from ftspec.data.raft import check_completion

    mended, _ = check_citation(
        'Well, ##begin_quote##"closes  at five"##end_quote## so <ANSWER>: five', ORACLE
    )
    assert mended is not None
    check_completion(mended, ORACLE)


def test_an_answer_without_a_word_of_the_right_one_is_refused() -> None:
    task = TASKS["answers"]
    reply = {"text": "##begin_quote##at nine##end_quote## <ANSWER>: at nine"}
    assert task.check(reply, {"document": ORACLE, "answers": ("Nine o'clock",)}).value is not None
    assert task.check(reply, {"document": ORACLE, "answers": ("five",)}).value is None


@pytest.mark.parametrize(
    ("score", "kept"), [(1, 1), (5, 5), ("4", 4), (3.0, 3), (0, None), (6, None), (True, None), (None, None)]
)
def test_grades(score: object, kept: int | None) -> None:
    value = TASKS["judge"].check({"score": score}, {}).value
    assert value == (None if kept is None else {"score": kept})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": {"b": 2}}\n```', {"a": {"b": 2}}),
        ('<think>{"a": 0}</think>\nSo: {"a": 1} is it.', {"a": 1}),
        ('set {x} is {"a": 1}', {"a": 1}),
        ("[1, 2]", None),
        ('{"a": NaN}', None),
        ("[" * 100_000 + '{"a": ' + "[" * 100_000, None),
    ],
)  # fmt: skip
def test_objects_in_replies(text: str, found: object) -> None:
    assert find_object(text)[0] == found


def test_schemas_are_strict_enough_for_every_server() -> None:
    """Servers with strict schemas want every property required, and no others."""

    def visit(schema: dict[str, object]) -> None:
        if schema.get("type") == "object":
            properties = schema["properties"]
            assert isinstance(properties, dict)
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(properties)
            for each in properties.values():
                visit(each)
        if "items" in schema:
            assert isinstance(schema["items"], dict)
            visit(schema["items"])

    for task in TASKS.values():
        visit(task.schema)
        json.dumps(task.schema)
        assert "JSON" in task.system.format(count=3)
    assert set(PLAN_TASKS) | {"judge"} == set(TASKS)


def test_bm25_on_nothing() -> None:
    assert found_first([], ["a document"]) == ()
    assert found_first([("query", 0)], ["", " "]) == (False,)
    assert found_first([("", 0), ("same words", 1)], ["same words here", "same words here"]) == (False, True)


@pytest.mark.parametrize(
    ("endpoint", "api"),
    [
        ("ollama", "ollama"),
        ("openai", "openai"),
        ("http://box:11434", "ollama"),
        ("http://box:11434/v1", "ollama"),
        ("http://box:8000", "openai"),
        ("https://models.example.com/11434", "openai"),
    ],
)
def test_the_language_of_an_endpoint(endpoint: str, api: str) -> None:
    assert make_request(endpoint=endpoint).settings.api == api
    assert make_request(endpoint=endpoint, api="openai").settings.api == "openai"
