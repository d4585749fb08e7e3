"""No prompt and no oracle of a held-out row is among the training rows."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.data.llm_collect import LlmDataset
from ftspec.data.llm_parts import LlmParts, divide_text
from ftspec.data.llm_rows import LlmRow, RaftContext, history_keys
from ftspec.data.llm_survey import survey_llm
from ftspec.diagnostics import codes
from ftspec.plan.llm_data import LlmLimit
from ftspec.plan.model import Split
from tests.data.helpers import write_lines
from tests.data.llm_helpers import (
    dialogue,
    documents,
    llm_request,
    pair_source,
    questions,
    raft_source,
    texts,
)


def pair(prompt: str, completion: str = "c", **more: Any) -> LlmRow:
    return LlmRow(id=f"{prompt}/{completion}", prompt=prompt, completion=completion, **more)


def raft(question: str, oracle: str) -> LlmRow:
    context = RaftContext(
        question=question,
        oracle_id=oracle,
        oracle=f"text of {oracle}",
        documents=(),
        present=True,
        refuse=False,
    )
    return LlmRow(id=question, prompt="p", completion="c", raft=context)


def talk(*turns: str) -> LlmRow:
    return LlmRow(id="/".join(turns), messages=tuple(dialogue(*turns)["messages"]))


def divided(
    rows: list[LlmRow], evaluation: list[LlmRow] | None = None, limit: LlmLimit | None = None, **split: Any
) -> LlmParts:
    dataset = LlmDataset(
        rows=tuple(rows),
        evaluation=None if evaluation is None else tuple(evaluation),
        sources=(),
        duplicates_removed=0,
        raft=None,
    )
    settings = Split(**{"by": "auto", "test": 0.25, "validation": 0.0, "seed": 13, **split})
    parts, found = divide_text(dataset, settings, limit or LlmLimit())
    assert parts is not None, found.items
    return parts


def test_rows_that_ask_the_same_stay_together() -> None:
    rows = [pair(f"Prompt {n // 3}", f"c{n}") for n in range(60)]
    parts = divided(rows, validation=0.2)
    assert parts.mode == "random"
    assert parts.validation
    sides = [{row.prompt for row in side} for side in (parts.train, parts.validation, parts.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert sum(map(len, (parts.train, parts.validation, parts.test))) == 60


def test_documents_stay_together_and_questions_too() -> None:
    rows = [raft(f"q{n}", f"d{n // 4}") for n in range(60)] + [raft("q0 ", "d7"), raft("Q0", "d8")]
    parts = divided(rows)
    assert parts.mode == "document"
    oracles = [{row.raft.oracle_id for row in side if row.raft} for side in (parts.train, parts.test)]
    assert not oracles[0] & oracles[1]
    assert {"d0", "d7", "d8"} <= oracles[0] or {"d0", "d7", "d8"} <= oracles[1]


@pytest.mark.parametrize("by", ["random", "document", "group"])
def test_no_oracle_is_on_both_sides(by: str) -> None:
    rows = [raft(f"q{n}", f"d{n % 30}") for n in range(120)]
    if by == "group":
        rows = [
            LlmRow(id=row.id, raft=row.raft, group=f"g{n % 30 // 4 if n < 115 else 0}")
            for n, row in enumerate(rows)
        ]
    parts = divided(rows, by=by)
    train, test = ({row.document_key for row in side} for side in (parts.train, parts.test))
    assert test
    assert not train & test
    assert parts.dropped == 120 - len(parts.train) - len(parts.test)


def test_a_chat_goes_where_its_continuation_goes() -> None:
    rows = []
    for n in range(20):
        first = ("hello", f"name {n}", f"tell {n}", "told")
        rows += [talk(*first), talk(*first, "and?", "more"), talk("hello", f"hi {n}", f"x{n}", "y")]
    parts = divided(rows)
    assert 10 <= len(parts.test) <= 20  # the greeting joins nothing
    asked = {row.prompt_key for row in parts.test}
    assert not any(asked.intersection(row.asked_keys) for row in parts.train)
    for n in range(20):
        ids = {f"hello/name {n}/tell {n}/told", f"hello/name {n}/tell {n}/told/and?/more"}
        here = {row.id for row in parts.test}
        assert ids <= here or not ids & here


@pytest.mark.parametrize("given", [False, True])
def test_no_chat_is_trained_that_a_held_out_one_goes_on_from(given: bool) -> None:
    """Its answer would be scored there, where every answer of the assistant is."""
    short = [replace(talk(f"q{n}", f"a{n}"), group=f"short {n}") for n in range(20)]
    long = [replace(talk(f"q{n}", f"a{n}", "and?", f"b{n}"), group=f"long {n}") for n in range(20)]
    if given:
        told = divided(short, long)
        assert (told.leakage.queries, len(told.train)) == (20, 20)
        assert told.leakage.examples[0].startswith("prompt: q")
        parts = divided([*short, talk("q0", "other", "else", "c")], long, leakage="drop_train")
        assert [row.id for row in parts.train] == ["q0/other/else/c"]  # only begins alike
    else:
        parts = divided([*short, *long], by="group")
        trained = {row.prompt_key for row in parts.train}
        assert trained
        assert not trained & {key for row in parts.test for key in row.asked_keys}
        assert parts.dropped > 0


def test_a_chat_of_one_question_equals_a_prompt() -> None:
    assert (
        talk("What is  it?", "a").prompt_key
        == pair("what is it?").prompt_key
        == raft("What is it?", "d").prompt_key
    )
    system = ({"role": "system", "content": "s"}, *talk("q", "a").messages)
    assert history_keys(system) != history_keys(talk("q", "a").messages)
    assert len(history_keys(talk("q", "a", "r", "b").messages)) == 2


def test_groups_are_kept_whole() -> None:
    parts = divided([pair(f"p{n}", group=f"g{n % 8}") for n in range(80)])
    assert parts.mode == "group"
    assert not {row.group for row in parts.train} & {row.group for row in parts.test}


def test_the_order_of_rows_plays_no_part() -> None:
    rows = [pair(f"p{n // 2}", f"c{n}") for n in range(80)]
    shuffled = rows[:]
    random.Random(5).shuffle(shuffled)
    limit = LlmLimit(train=30, test=10)
    one, two = divided(rows, limit=limit, validation=0.2), divided(shuffled, limit=limit, validation=0.2)
    assert [row.id for row in one.test] == [row.id for row in two.test]
    assert {row.id for row in one.train} == {row.id for row in two.train}
    assert (len(one.train), len(one.test), one.available > 30) == (30, 10, True)
    other = divided(rows, limit=limit, seed=14)
    assert [row.id for row in other.test] != [row.id for row in one.test]
    # The first n of the test rows are a sample, not the first n that were read.
    assert [row.id for row in one.test] != sorted(
        (row.id for row in one.test), key=[r.id for r in rows].index
    )


def test_leakage_of_given_evaluation_data() -> None:
    rows = [*[raft(f"q{n}", f"d{n}") for n in range(10)], talk("a", "b", "c", "d"), pair("P")]
    evaluation = [raft("Q1", "d20"), raft("new", "d2"), talk("a", "x"), pair("p "), pair("other")]
    parts = divided(rows, evaluation)
    assert (parts.mode, len(parts.train)) == ("given", 12)
    assert (parts.leakage.queries, parts.leakage.positives) == (3, 1)
    assert parts.leakage.examples == ("prompt: q1", "prompt: a", "prompt: P", "oracle: text of d2")
    parts = divided(rows, evaluation, leakage="drop_train")
    assert (len(parts.train), parts.dropped, parts.leakage.queries) == (8, 4, 0)


def test_too_little_is_a_diagnostic(tmp_path: Path, text_base: Path) -> None:
    write_lines(tmp_path / "one.jsonl", [{"prompt": "p", "completion": f"c{n}"} for n in range(5)])
    for split in ({}, {"by": "document"}, {"validation": 0.5}):
        request = llm_request(tmp_path, text_base, pair_source("one.jsonl"), split=split)
        _, found = survey_llm(request, tmp_path / "cache")
        assert {item.code for item in found} == {codes.SPLIT_EMPTY}


def test_given_evaluation_files(tmp_path: Path, text_base: Path) -> None:
    """Train questions equal to test questions, and a document that both are about."""
    write_lines(tmp_path / "docs.jsonl", documents(12))
    write_lines(tmp_path / "qa.jsonl", questions(6))
    write_lines(
        tmp_path / "test.jsonl", [*questions(8)[5:], {**questions(1)[0], "question": "And valley 0?"}]
    )
    write_lines(tmp_path / "p.jsonl", texts(3))
    sources = (raft_source(render="text"), pair_source("p.jsonl"))
    given = (raft_source(questions="test.jsonl"),)
    request = llm_request(tmp_path, text_base, *sources, evaluation=given, max_seq_length=900)
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    assert (facts.split_by, facts.train_rows, facts.test_rows) == ("given", 9, 4)
    assert (facts.leaked_prompts, facts.leaked_documents) == (1, 2)
    assert facts.test_raft == facts.test_with_answers == 4
    request = llm_request(
        tmp_path, text_base, *sources, evaluation=given, max_seq_length=900, split={"leakage": "drop_train"}
    )
    facts, _ = survey_llm(request, tmp_path / "cache")
    assert facts is not None
    assert (facts.train_rows, facts.overlap_dropped, facts.leaked_prompts) == (7, 2, 0)
