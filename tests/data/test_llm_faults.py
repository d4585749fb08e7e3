"""What is wrong with text data is told with its place. FTS710 to FTS714, FTS716, FTS718 and FTS719 are shown here."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftspec.data.llm_survey import survey_llm
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Severity
from tests.data import chat_templates
from tests.data.helpers import write_lines
from tests.data.llm_helpers import (
    chat_source,
    dialogue,
    dialogues,
    documents,
    llm_request,
    pair_source,
    questions,
    raft_source,
    texts,
)
from tests.data.test_llm_template import make_base

USER, REPLY = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
BAD_CHATS: list[tuple[Any, str]] = [
    ({"messages": "no list"}, "`messages` is text that is no JSON list"),
    ({"messages": {"role": "user"}}, "`messages` is no list"),
    ({"messages": []}, "`messages` is an empty list"),
    ({"messages": None}, "`messages` is missing"),
    ({"messages": [USER, "hello"]}, "`messages[1]` is not an object with `role` and `content`"),
    ({"messages": [USER, {"role": "bot", "content": "x"}]}, "`messages[1]` has the role `bot`; known are"),
    ({"messages": [{"content": "x"}, REPLY]}, "`messages[0]` has no `role`"),
    ({"messages": [USER, REPLY, USER]}, "the last message is from `user`, not from `assistant`"),
    ({"messages": [REPLY]}, "the first message is from `assistant`"),
    ({"messages": [USER, {"role": "assistant", "content": " "}]}, "`messages[1]` is empty"),
    ({"messages": [USER, {"role": "assistant"}]}, "`messages[1]` is empty"),
    ({"messages": [{"role": "system"}, USER, REPLY]}, "`messages[0]` has no `content`"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}, REPLY]}, "`messages[0]`.content is not"),
    ({"messages": [{**USER, "tool_calls": [{}]}, REPLY]}, "`messages[0]`.tool_calls is no list of objects"),
    ({"messages": [{"role": "user", "content": "\ud800"}, REPLY]}, "half of a surrogate pair"),
    ({"messages": [{"role": "user", "content": "x", "n": float("nan")}, REPLY]}, "values that JSON has not"),
    ({"messages": [USER, REPLY], "tools": [1]}, "`tools` is no list of tool schemas"),
]


@pytest.mark.parametrize(("row", "said"), BAD_CHATS, ids=[said[:40] for _, said in BAD_CHATS])
def test_bad_chats(row: Any, said: str, tmp_path: Path, chat_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [*dialogues(8, tools=None), row])
    source = chat_source("r.jsonl", tools="tools")
    facts, found = survey_llm(llm_request(tmp_path, chat_base, source), tmp_path / "cache")
    assert facts is None
    (fault,) = found.items
    assert fault.code is codes.BAD_ROW
    assert said in fault.detail
    assert fault.primary is not None
    assert (fault.primary.path, fault.primary.line) == ("r.jsonl", 9)
    skipping = llm_request(tmp_path, chat_base, source, on_error="skip")
    for _ in range(2):  # cold and warm say the same
        facts, found = survey_llm(skipping, tmp_path / "cache")
        assert facts is not None, found.items
        assert facts.sources[0].skipped == 1
        assert [(item.code, item.level) for item in found] == [(codes.ROWS_SKIPPED, Severity.WARNING)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "p", "completion": ""}, "`completion` is empty"),
        ({"prompt": "p", "completion": " \n"}, "`completion` is empty"),
        ({"prompt": "p"}, "`completion` is missing"),
        ({"prompt": 3, "completion": "c"}, "`prompt` is not text"),
        ({"prompt": "p", "completion": "c", "k": True}, "`k` is neither text nor an integer"),
        ({"prompt": "p", "completion": "c", "k": 0}, "the id `0` stands twice"),
        ({"prompt": "p", "completion": "c", "lang": "\ud800"}, "`lang` holds half of a surrogate pair"),
    ],
)
def test_bad_completions(row: Any, said: str, tmp_path: Path, text_base: Path) -> None:
    write_lines(
        tmp_path / "r.jsonl", [*[{**each, "k": n} for n, each in enumerate(texts(8))], {"k": 9, **row}]
    )
    request = llm_request(tmp_path, text_base, pair_source("r.jsonl", id="k"), slices=("lang",))
    _, found = survey_llm(request, tmp_path / "cache")
    assert [(item.code, item.detail) for item in found] == [(codes.BAD_ROW, said)]


def test_columns_and_files(tmp_path: Path, chat_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", texts(4))
    sources = (pair_source("r.jsonl", prompt="promt"), chat_source("no.jsonl"))
    _, found = survey_llm(llm_request(tmp_path, chat_base, *sources), tmp_path / "cache")
    assert [item.code for item in found] == [codes.SOURCE_NOT_FOUND]
    assert found.items[0].about == ("data", "train", 1, "path")
    _, found = survey_llm(llm_request(tmp_path, chat_base, sources[0]), tmp_path / "cache")
    (fault,) = found.items
    assert (fault.code, fault.about) == (codes.MISSING_COLUMN, ("data", "train", 0, "roles", "prompt"))
    assert fault.help == "did you mean `prompt`?"
    (tmp_path / "empty.jsonl").write_text("")
    _, found = survey_llm(llm_request(tmp_path, chat_base, chat_source("empty.jsonl")), tmp_path / "cache")
    assert [item.code for item in found] == [codes.SOURCE_EMPTY]


def test_a_missing_chat_template_is_fts710(tmp_path: Path, text_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", dialogues(8))
    write_lines(tmp_path / "p.jsonl", texts(8))
    request = llm_request(tmp_path, text_base, chat_source("r.jsonl"), pair_source("p.jsonl", render="chat"))
    _, found = survey_llm(request, tmp_path / "cache")
    assert [item.code.id for item in found] == ["FTS710", "FTS710"]
    assert found.items[0].about == ("data", "train", 0, "type")
    assert found.items[1].about == ("data", "train", 1, "render")


def test_a_template_that_refuses_rows_is_fts711(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", chat_templates.MISTRAL)
    bad = {"messages": [{"role": "system", "content": "s"}, USER, REPLY]}
    write_lines(tmp_path / "r.jsonl", [*dialogues(20), *[bad, *[{**bad, "n": 1}] * 29]])
    request = llm_request(tmp_path, base, chat_source("r.jsonl"), deduplicate=False)
    _, found = survey_llm(request, tmp_path / "cache")
    assert {item.code.id for item in found} == {"FTS711"}
    assert len(found) == 21
    assert "Conversation roles must alternate" in found.items[0].detail
    assert found.items[0].primary is not None
    assert found.items[0].primary.path == "r.jsonl"
    assert found.items[0].primary.line > 20
    assert found.items[0].primary.excerpt == "q"
    assert "10 more rows, 30 in all" in found.items[-1].detail
    skipping = llm_request(tmp_path, base, chat_source("r.jsonl"), deduplicate=False, on_error="skip")
    facts, found = survey_llm(skipping, tmp_path / "cache")
    assert facts is not None, found.items
    assert facts.template_refused == 30
    assert [item.code for item in found] == [codes.ROWS_SKIPPED]
    broken = make_base(tmp_path / "broken", "{% for %}")
    _, found = survey_llm(llm_request(tmp_path, broken, chat_source("r.jsonl")), tmp_path / "cache")
    assert [(item.code.id, item.about) for item in found] == [("FTS711", ("model", "base"))]


def test_a_template_that_fails_for_every_row_is_told_once(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "{{ nobody.knows.this }}")
    write_lines(tmp_path / "r.jsonl", dialogues(40))
    _, found = survey_llm(llm_request(tmp_path, base, chat_source("r.jsonl")), tmp_path / "cache")
    assert [(item.code.id, item.about) for item in found] == [("FTS711", ("model", "base"))]
    assert "all 40 rows" in found.items[0].detail


def test_a_split_without_rows_says_that_they_were_duplicates(tmp_path: Path, text_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", texts(1) * 6)
    _, found = survey_llm(llm_request(tmp_path, text_base, pair_source("r.jsonl")), tmp_path / "cache")
    assert {item.code for item in found} == {codes.SPLIT_EMPTY}
    assert "of 6 rows 5 are duplicates of others, 1 stay" in found.items[0].detail


def test_a_template_that_rewrites_is_fts712(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", chat_templates.REWRITES)
    write_lines(tmp_path / "r.jsonl", [dialogue(f"q{n}", "a", "b", "c") for n in range(8)])
    _, found = survey_llm(
        llm_request(tmp_path, base, chat_source("r.jsonl"), train_on="assistant"), tmp_path / "cache"
    )
    assert {item.code.id for item in found} == {"FTS712"}
    facts, found = survey_llm(llm_request(tmp_path, base, chat_source("r.jsonl")), tmp_path / "cache")
    assert facts is not None, found.items


def test_long_rows_are_fts713_or_fts714(tmp_path: Path, text_base: Path) -> None:
    rows = [
        *texts(12),
        {"prompt": "p " * 200, "completion": "c"},
        {"prompt": "x\n", "completion": "c " * 200},
    ]
    write_lines(tmp_path / "r.jsonl", rows)

    def survey(**changes: Any) -> Any:
        request = llm_request(tmp_path, text_base, pair_source("r.jsonl"), max_seq_length=64, **changes)
        return survey_llm(request, tmp_path / "cache")

    facts, found = survey()
    assert (facts.dropped_too_long, facts.prompt_too_long, facts.truncated) == (1, 1, 0)
    assert [item.code.id for item in found] == ["FTS714"]
    facts, found = survey(too_long="truncate")
    assert (facts.dropped_too_long, facts.prompt_too_long, facts.truncated) == (0, 1, 1)
    assert [item.code.id for item in found] == ["FTS714", "FTS709"]
    facts, found = survey(too_long="fail")
    assert facts is None
    assert [(item.code.id, item.primary.line) for item in found] == [("FTS713", 13), ("FTS713", 14)] or [
        (item.code.id, item.primary.line) for item in found
    ] == [("FTS713", 14), ("FTS713", 13)]
    write_lines(tmp_path / "r.jsonl", rows[-2:] * 1 + [{"prompt": "p " * 300, "completion": "d"}])
    facts, found = survey()
    assert facts is None
    assert {item.code for item in found} == {codes.SPLIT_EMPTY}


def test_a_base_without_end_token_is_fts716(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", None, eos_token="<nowhere>")
    write_lines(tmp_path / "r.jsonl", texts(8))
    for name in ("generation_config.json", "config.json"):
        settings = json.loads((base / name).read_text())
        del settings["eos_token_id"]
        (base / name).write_text(json.dumps(settings))
    request = llm_request(tmp_path, base, pair_source("r.jsonl"))
    _, found = survey_llm(request, tmp_path / "cache")
    assert [(item.code.id, item.about) for item in found] == [("FTS716", ("model", "base"))]
    (base / "generation_config.json").write_text('{"eos_token_id": [3, 2]}')
    assert survey_llm(request, tmp_path / "cache")[0] is not None


def test_a_base_that_cannot_be_read(tmp_path: Path, chat_base: Path) -> None:
    del chat_base
    base = make_base(tmp_path / "base")
    write_lines(tmp_path / "r.jsonl", texts(8))
    request = llm_request(tmp_path, base, pair_source("r.jsonl"))
    for file, text in (("tokenizer.json", "{}"), ("tokenizer_config.json", "[]"), ("tokenizer.json", None)):
        kept = (base / file).read_text()
        (base / file).unlink() if text is None else (base / file).write_text(text)
        _, found = survey_llm(request, tmp_path / "cache")
        assert [item.code for item in found] == [codes.MODEL_NOT_READABLE]
        (base / file).write_text(kept)
    assert survey_llm(request, tmp_path / "cache")[0] is not None


def test_prompts_and_completions_that_run_together_are_fts718(
    tmp_path: Path, text_base: Path, chat_base: Path
) -> None:
    glued = [{"prompt": f"What is {n}?", "completion": f"{n}"} for n in range(8)]
    spaced = [{"prompt": f"And {n}?", "completion": f" {n}"} for n in range(8)]
    write_lines(tmp_path / "r.jsonl", [*glued, *texts(4), *spaced])
    request = llm_request(tmp_path, text_base, pair_source("r.jsonl"))
    for _ in range(2):  # cold and warm
        facts, found = survey_llm(request, tmp_path / "cache")
        assert facts is not None
        assert [(item.code.id, item.detail[:6]) for item in found] == [("FTS718", "8 rows")]
    request = llm_request(tmp_path, chat_base, pair_source("r.jsonl"))
    assert not survey_llm(request, tmp_path / "cache")[1].items


def test_control_tokens_in_texts_are_fts719(tmp_path: Path, text_base: Path, chat_base: Path) -> None:
    ends = {"messages": [{**USER, "content": "what is <|im_end|> for?"}, REPLY]}
    begins = {"messages": [USER, {**REPLY, "content": "a <|im_start|>"}]}
    write_lines(tmp_path / "c.jsonl", [*dialogues(8), ends, begins])
    write_lines(tmp_path / "p.jsonl", [*texts(8), {"prompt": "p\n", "completion": "c<|im_end|>"}])
    sources = (chat_source("c.jsonl"), pair_source("p.jsonl"))
    for _ in range(2):  # cold and warm
        facts, found = survey_llm(llm_request(tmp_path, chat_base, *sources), tmp_path / "cache")
        assert facts is not None
        assert facts.control_rows == 3
        (item,) = found.items
        assert (item.code.id, item.level) == ("FTS719", Severity.WARNING)
        assert "c.jsonl:9: `<|im_end|>` in `messages[0].content`" in item.detail
        assert "c.jsonl:10: `<|im_start|>` in `messages[1].content`" in item.detail
        assert "p.jsonl:9: `<|im_end|>` in its completion" in item.detail
    # Without a template texts are what they are written as.
    alone = llm_request(tmp_path, text_base, pair_source("p.jsonl"))
    assert not survey_llm(alone, tmp_path / "cache")[1].items


def test_control_tokens_in_documents_are_fts719(tmp_path: Path, text_base: Path) -> None:
    held = documents(12)
    held[3]["text"] += " <|im_end|>"
    write_lines(tmp_path / "docs.jsonl", held)
    write_lines(tmp_path / "qa.jsonl", questions(12))
    request = llm_request(tmp_path, text_base, raft_source(), max_seq_length=1600)
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None
    assert facts.control_rows > 0
    assert "`<|im_end|>` in document `d3`" in next(each for each in found if each.code.id == "FTS719").detail


def test_shares_of_raft_rows_are_told_after_drops(tmp_path: Path, chat_base: Path) -> None:
    write_lines(tmp_path / "docs.jsonl", documents(30))
    long = {**questions(1)[0], "question": "How much does the animal of valley 0 eat" + ", say" * 900 + "?"}
    write_lines(tmp_path / "qa.jsonl", [long, *questions(30)[1:]])
    source = raft_source(oracle_probability=0.5, when_absent="refuse")
    request = llm_request(tmp_path, chat_base, source, max_seq_length=1600)
    facts, _ = survey_llm(request, tmp_path / "cache")
    assert facts is not None
    assert facts.raft is not None
    assert facts.prompt_too_long == 1
    assert (facts.raft.questions, facts.raft_rows) == (30, 29)
    assert facts.raft_oracle_present + facts.raft_refusals == 29


def test_tokens_that_the_model_has_not(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", None)
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**settings, "vocab_size": 4}))
    write_lines(tmp_path / "r.jsonl", texts(8))
    _, found = survey_llm(llm_request(tmp_path, base, pair_source("r.jsonl")), tmp_path / "cache")
    assert [(item.code, item.about) for item in found] == [(codes.MODEL_NOT_READABLE, ("model", "base"))]
    assert "its config.json names 4 tokens (0 to 3)" in found.items[0].detail


def test_control_tokens_in_a_tokenizer_are_longest_first(chat_base: Path) -> None:
    from ftspec.data.llm_tokenizer import LlmTokenizer

    tokenizer = LlmTokenizer(chat_base)
    assert tokenizer.special_texts[0] == "<|im_start|>"
    assert set(map(len, tokenizer.special_texts)) == {7, 10, 12}
    assert tokenizer.end == 3
