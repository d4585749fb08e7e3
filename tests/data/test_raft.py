"""RAFT: draws, distractors, quotes, and what cannot be made. FTS715 and FTS717 are shown here."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.data.distractors import Distractors
from ftspec.data.llm_rows import RaftDocument
from ftspec.data.llm_stages import ingest_llm, split_llm
from ftspec.data.llm_survey import survey_llm
from ftspec.data.raft import RaftQuestion, _places, check_completion, extractive_answer, raft_row
from ftspec.data.sentences import around, sentences
from ftspec.diagnostics import codes
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END, REFUSAL, RaftFile
from ftspec.plan.synth import SynthSettings
from tests.data.helpers import SHARED, read_lines, write_lines
from tests.data.llm_helpers import documents, llm_request, questions, raft_source

ROOM = {"max_seq_length": 100_000}


def rows_of(folder: Path, base: Path, **changes: Any) -> list[dict[str, Any]]:
    request = llm_request(folder, base, raft_source(**changes), **ROOM)
    ingested, found = ingest_llm(request, folder / "i")
    assert ingested is not None, found.items
    return read_lines(ingested / "rows.jsonl")


def write_set(folder: Path, count: int = 30) -> None:
    write_lines(folder / "docs.jsonl", documents(count))
    write_lines(folder / "qa.jsonl", questions(count))


def test_a_row(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    rows = rows_of(tmp_path, chat_base, oracle_probability=1.0)
    row = rows[3]
    raft = row["raft"]
    assert row["completion"] == "##begin_quote##It eats 3 trout a day.##end_quote## <ANSWER>: 3 trout"
    assert row["answers"] == ["3 trout"]
    assert (raft["oracle_id"], raft["present"], raft["refuse"]) == ("d3", True, False)
    assert len(raft["documents"]) == 3
    assert raft["oracle"] == next(each["text"] for each in raft["documents"] if each["id"] == "d3")
    instruction, *shown, question = row["prompt"].split("\n\n")
    assert instruction.startswith("Answer the question from the documents.")
    assert shown == [f"[{n}] {each['text']}" for n, each in enumerate(raft["documents"], start=1)]
    assert question == "Question: How much does the animal of valley 3 eat?"


def test_what_is_shown_without_the_oracle(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    rows = rows_of(tmp_path, chat_base, oracle_probability=0.5, distractors=3)
    present = [row for row in rows if row["raft"]["present"]]
    assert 8 <= len(present) <= 22
    for row in rows:
        raft = row["raft"]
        ids = [each["id"] for each in raft["documents"]]
        assert len(ids) == len(set(ids)) == 4
        assert (raft["oracle_id"] in ids) == raft["present"]
        assert not any(
            re.search(rf"\b{row['answers'][0]}\b", each["text"])
            for each in raft["documents"]
            if each["id"] != raft["oracle_id"]
        )
        check_completion(row["completion"], raft["oracle"])  # the paper's: its answer all the same


def test_refusals(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    rows = rows_of(tmp_path, chat_base, oracle_probability=0.5, when_absent="refuse")
    refused = [row for row in rows if row["raft"]["refuse"]]
    assert refused
    assert len(refused) == sum(not row["raft"]["present"] for row in rows)
    assert {row["completion"] for row in refused} == {f"{ANSWER_MARK} {REFUSAL}"}
    assert refused[0]["answers"] == [REFUSAL]
    assert all(f"write only: {ANSWER_MARK} {REFUSAL}" in row["prompt"] for row in rows)
    facts, _ = survey_llm(
        llm_request(tmp_path, chat_base, raft_source(oracle_probability=0.5, when_absent="refuse"), **ROOM),
        tmp_path / "cache",
    )
    assert facts is not None
    assert facts.raft is not None
    assert facts.raft.refusals == len(refused)


def test_draws_depend_on_content_and_seed_alone(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    here = {row["id"]: row for row in rows_of(tmp_path, chat_base)}
    shuffled = {"docs.jsonl": documents(30), "qa.jsonl": questions(30)}
    for name, lines in shuffled.items():
        random.Random(3).shuffle(lines)
        write_lines(tmp_path / name, lines)
    again = {row["id"]: row for row in rows_of(tmp_path, chat_base)}
    assert here.keys() == again.keys()
    assert all(here[id]["prompt"] == again[id]["prompt"] for id in here)
    other = rows_of(tmp_path, chat_base, seed=14)
    assert [row["raft"]["present"] for row in other] != [again[row["id"]]["raft"]["present"] for row in other]
    places = [
        [each["id"] for each in row["raft"]["documents"]].index(row["raft"]["oracle_id"])
        for row in other
        if row["raft"]["present"]
    ]
    assert set(places) == {0, 1, 2}  # the oracle stands anywhere


def test_bm25_finds_what_is_likely(tmp_path: Path, chat_base: Path) -> None:
    texts = ["red apples grow", "green apples fall", "iron rusts", "steel rusts", "apples are red and ripe"]
    docs = [RaftDocument(id=f"d{n}", text=text) for n, text in enumerate(texts)]
    found, at_random = Distractors(docs, retriever="bm25", seed=1).pick("red apples?", docs[4], ["ripe"], 2)
    assert ([each.id for each in found], at_random) == (["d0", "d1"], 0)
    found, at_random = Distractors(docs, retriever="bm25", seed=1).pick("red apples?", docs[4], ["grow"], 3)
    assert (found[0].id, len(found), at_random) == ("d1", 3, 2)
    found, at_random = Distractors(docs, retriever="bm25", seed=1).pick("?", docs[4], ["ripe"], 9)
    assert (len(found), at_random) == (4, 4)
    drawn = {
        tuple(
            each.id for each in Distractors(docs, retriever="random", seed=s).pick("red?", docs[4], [], 2)[0]
        )
        for s in range(20)
    }
    assert len(drawn) > 5
    write_set(tmp_path)
    rows = rows_of(tmp_path, chat_base, retriever="random")
    assert all(len(row["raft"]["documents"]) == 3 for row in rows)


def test_answers_of_scripts_without_blanks_are_found_inside() -> None:
    docs = [
        RaftDocument(id=f"d{n}", text=text)
        for n, text in enumerate(("東京は大きい", "京都は古い", "大阪は東京の西"))
    ]
    found, _ = Distractors(docs, retriever="random", seed=1).pick("どこ?", docs[0], ["東京"], 3)
    assert [each.id for each in found] == ["d1"]


def test_sentences() -> None:
    text = "Dr. A. Smith paid 3.5 dollars. He left! “Why?” Nobody at the U.S. Embassy knew.\n\nTitle\n\nEnd"
    assert [text[a:b] for a, b in sentences(text)] == [
        "Dr. A. Smith paid 3.5 dollars.",
        "He left!",
        "“Why?”",
        "Nobody at the U.S. Embassy knew.",
        "Title",
        "End",
    ]
    assert [text[a:b] for text in ("東京は大きい。京都は古い。",) for a, b in sentences(text)] == [
        "東京は大きい。",
        "京都は古い。",
    ]
    dotted = "Contents " + "." * 100_000  # in linear time
    assert sentences(dotted) == [(0, len(dotted))]
    start = text.index("dollars")
    assert text[slice(*around(text, start, text.index("left")))] == "Dr. A. Smith paid 3.5 dollars. He left!"


def test_the_sentence_that_fits_the_question_is_quoted() -> None:
    oracle = RaftDocument(id="d", text="In 1944 it rained. 44 people met. The war of 44 BC began in 44.")
    completion, span = extractive_answer("When did the war begin?", ["no such", "44"], oracle)
    assert span == "44"
    assert completion == f"{QUOTE_BEGIN}The war of 44 BC began in 44.{QUOTE_END} {ANSWER_MARK} 44"


@pytest.mark.parametrize(
    ("completion", "said"),
    [
        ("no mark", "stands 0 times"),
        (f"{QUOTE_BEGIN}a{QUOTE_END} {ANSWER_MARK} x {ANSWER_MARK} y", "stands 2 times"),
        (f"{QUOTE_BEGIN}a{QUOTE_END} {ANSWER_MARK} ", "nothing stands behind"),
        (f"{ANSWER_MARK} x", "in pairs"),
        (f"{QUOTE_BEGIN}a {ANSWER_MARK} x", "in pairs"),
        (f"{QUOTE_END}a{QUOTE_BEGIN} {ANSWER_MARK} x", "in pairs"),
        (f"{QUOTE_BEGIN}a{QUOTE_END}{QUOTE_BEGIN}b{QUOTE_END} {ANSWER_MARK} x", "not verbatim"),
    ],
)
def test_checks_of_completions(completion: str, said: str) -> None:
    from ftspec.data.cells import RowError

    with pytest.raises(RowError, match=said):
        check_completion(completion, "an oracle")


BAD_QUESTIONS = [
    ({"positive": "d99"}, "`positive` names `d99`, which is none of the documents"),
    ({"answers": ["nowhere"]}, "no answer is a span of its document `d1`"),
    ({"answers": []}, "`answers` is an empty list"),
    ({"question": " "}, "`question` is empty"),
    ({"question": f"what {ANSWER_MARK}"}, "which marks quotes and answers"),
]


@pytest.mark.parametrize(("change", "said"), BAD_QUESTIONS, ids=[said[:30] for _, said in BAD_QUESTIONS])
def test_bad_questions(change: dict[str, Any], said: str, tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    write_lines(tmp_path / "qa.jsonl", [*questions(20), {**questions(2)[1], "question": "Else?", **change}])
    _, found = survey_llm(llm_request(tmp_path, chat_base, raft_source(), **ROOM), tmp_path / "cache")
    (fault,) = found.items
    assert fault.code is codes.BAD_ROW
    assert said in fault.detail
    assert fault.primary is not None
    assert (fault.primary.path, fault.primary.line) == ("qa.jsonl", 21)
    skipping = llm_request(tmp_path, chat_base, raft_source(), on_error="skip", **ROOM)
    facts, found = survey_llm(skipping, tmp_path / "cache")
    assert facts is not None, found.items
    assert facts.raft is not None
    assert (facts.sources[0].skipped, facts.raft.questions) == (1, 20)
    spanless = "no answer" in said
    assert facts.raft.answers_not_found == spanless
    assert [item.code.id for item in found] == ["FTS708", *(["FTS717"] if spanless else [])]


def test_bad_documents(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    bad = [{"id": "e1", "text": ""}, {"id": "d1", "text": "again"}, {"id": "e2"}]
    write_lines(tmp_path / "docs.jsonl", [*documents(30), *bad])
    _, found = survey_llm(llm_request(tmp_path, chat_base, raft_source(), **ROOM), tmp_path / "cache")
    assert [(item.detail, item.primary.line) for item in found if item.primary] == [
        ("`text` is empty", 31),
        ("the id `d1` stands twice", 32),
        ("`text` is missing", 33),
    ]
    odd = raft_source(documents=RaftFile(path="docs.jsonl", roles=FrozenMap({"id": "id", "text": "body"})))
    _, found = survey_llm(llm_request(tmp_path, chat_base, odd), tmp_path / "cache")
    assert [(item.code, item.about) for item in found] == [
        (codes.MISSING_COLUMN, ("data", "train", 0, "documents", "roles", "text"))
    ]
    _, found = survey_llm(
        llm_request(tmp_path, chat_base, raft_source(questions="no.jsonl")), tmp_path / "cache"
    )
    assert [(item.code, item.about) for item in found] == [
        (codes.SOURCE_NOT_FOUND, ("data", "train", 0, "questions", "path"))
    ]


def test_too_few_documents_are_fts715(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path, 5)
    _, found = survey_llm(
        llm_request(tmp_path, chat_base, raft_source(distractors=4), **ROOM), tmp_path / "cache"
    )
    assert [(item.code.id, item.about) for item in found] == [("FTS715", ("data", "train", 0, "distractors"))]
    assert "5 documents, 6 are needed for 4 distractors" in found.items[0].detail
    full = llm_request(tmp_path, chat_base, raft_source(distractors=4, oracle_probability=1.0), **ROOM)
    facts, found = survey_llm(full, tmp_path / "cache")
    assert facts is not None, found.items
    write_lines(
        tmp_path / "docs.jsonl", [{"id": f"d{n}", "text": f"Each eats 1 trout, {n}."} for n in range(5)]
    )
    write_lines(tmp_path / "qa.jsonl", [{**questions(1)[0], "answers": ["1 trout"]}])
    _, found = survey_llm(full, tmp_path / "cache")
    assert found.items[0].code is codes.BAD_ROW
    assert "only 0 other documents are without its answer" in found.items[0].detail


def test_own_instruction_and_title(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    write_lines(tmp_path / "docs.jsonl", [{**each, "name": "Valleys"} for each in documents(30)])
    roles = FrozenMap({"id": "id", "text": "text", "title": "name"})
    rows = rows_of(
        tmp_path, chat_base, documents=RaftFile(path="docs.jsonl", roles=roles), prompt="Sag {es} mir: %s"
    )
    assert rows[0]["prompt"].startswith("Sag {es} mir: %s\n\n[1] Valleys\nThe ")


def test_rows_are_the_same_for_the_same_question_twice(tmp_path: Path, chat_base: Path) -> None:
    write_set(tmp_path)
    write_lines(tmp_path / "qa.jsonl", [*questions(20), *questions(5)])
    facts, _ = survey_llm(llm_request(tmp_path, chat_base, raft_source(), **ROOM), tmp_path / "cache")
    assert facts is not None
    assert facts.raft is not None
    assert (facts.duplicates_removed, facts.raft.questions, facts.raft.documents) == (5, 20, 30)


def test_a_written_answer_is_checked() -> None:
    docs = [RaftDocument(id=f"d{n}", text=each["text"]) for n, each in enumerate(documents(9))]
    plan = raft_source(answers="written").raft
    assert plan is not None
    others = Distractors(docs, retriever="random", seed=1)
    good = f"It says {QUOTE_BEGIN}It eats 1 trout a day.{QUOTE_END} {ANSWER_MARK} one trout"
    asked = RaftQuestion(question="How much?", answers=(), document_id="d1", completion=good)
    row, _ = raft_row(asked, docs[1], others, plan, 0)
    assert (row.completion, row.answers) == (good, ())
    from ftspec.data.cells import RowError

    bad = RaftQuestion(
        question="q", answers=(), document_id="d1", completion=good.replace("1 trout", "2 trout")
    )
    with pytest.raises(RowError, match="not verbatim"):
        raft_row(bad, docs[1], others, plan, 0)


def _settings() -> SynthSettings:
    return SynthSettings(
        endpoint="http://localhost:1",
        api="openai",
        model="m",
        api_key=None,
        per_document=1,
        limit=None,
        instruction=None,
        examples=(),
        temperature=None,
        seed=None,
        max_tokens=64,
        max_document_chars=4000,
        timeout_seconds=1.0,
        concurrency=1,
        judge=None,
        round_trip=False,
        prices=None,
    )


def test_questions_and_answers_that_a_model_wrote(
    tmp_path: Path, chat_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftspec.synth import stored

    write_set(tmp_path)
    source = raft_source(synthesize=_settings(), answers="written")
    assert source.raft is not None
    source = replace(source, raft=replace(source.raft, questions=None))
    request = llm_request(tmp_path, chat_base, source, **ROOM)
    facts, found = survey_llm(request, tmp_path / "cache")  # nothing is written yet
    assert facts is None
    assert [(item.code, item.about) for item in found] == [
        (codes.SYNTH_MISSING, ("data", "train", 0, "synthesize"))
    ]
    assert "30 requests" in found.items[0].detail

    def questions_of(request: Any, texts: Any, cache: Path) -> Any:
        assert cache == tmp_path / "synth"
        rows = [
            stored.SynthRow(
                document_id=id, question=f"What about {text[:20]}?", answers=(text.split(".")[0],)
            )
            for id, text in texts
        ]
        return tuple(rows), 0

    def answers_of(request: Any, items: Any, cache: Path) -> Any:
        quotes = [f"So: {QUOTE_BEGIN}{item.answers[0]}{QUOTE_END} {ANSWER_MARK} shy" for item in items]
        return (None, *quotes[1:]), 0

    monkeypatch.setattr(stored, "stored_questions", questions_of)
    monkeypatch.setattr(stored, "stored_answers", answers_of)
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    assert facts.raft is not None
    assert (facts.raft.questions, facts.raft.not_written, facts.raft.answers) == (29, 1, "written")
    monkeypatch.setattr(stored, "stored_answers", lambda *_: ((None,) * 30, 0))
    again, found = survey_llm(request, tmp_path / "cache")  # other texts are other data
    assert again is None
    assert [item.code for item in found] == [codes.SOURCE_EMPTY]
    moved = replace(source, raft=replace(source.raft, synthesize=replace(_settings(), concurrency=9)))
    monkeypatch.setattr(stored, "stored_answers", answers_of)
    same, _ = survey_llm(llm_request(tmp_path, chat_base, moved, **ROOM), tmp_path / "cache")
    assert same == facts


@pytest.mark.skipif(not (SHARED / "squad-dev").is_dir(), reason="the real set is not here")
def test_squad(tmp_path: Path, chat_base: Path) -> None:
    """Real questions: every quote is verbatim, distractors are likely ones, no oracle is on both sides."""
    folder = SHARED / "squad-dev"
    source = raft_source(
        documents=RaftFile(path=str(folder / "corpus.jsonl"), roles=FrozenMap({"id": "id", "text": "text"})),
        questions=RaftFile(
            path=str(folder / "qa.jsonl"),
            roles=FrozenMap(
                {"question": "question", "answers": "answers", "document": "positive", "id": "id"}
            ),
        ),
        distractors=4,
    )
    request = llm_request(tmp_path, chat_base, source, **ROOM)
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    assert facts.raft is not None
    raft = facts.raft
    asked = sum(1 for _ in (folder / "qa.jsonl").open(encoding="utf-8"))
    assert raft.documents == sum(1 for _ in (folder / "corpus.jsonl").open(encoding="utf-8"))
    assert raft.questions == asked - facts.duplicates_removed
    assert raft.answers_not_found == 0
    assert abs(raft.oracle_present / raft.questions - 0.8) < 0.03
    assert raft.random_distractors == 0
    assert raft.mean_overlap > 0.3  # the average of random ones is below 0.25
    ingested, _ = ingest_llm(request, tmp_path / "i")
    assert ingested is not None
    divided, _ = split_llm(request, ingested, tmp_path / "s")
    assert divided is not None
    sides = {name: read_lines(divided / f"{name}.jsonl") for name in ("train", "test")}
    for row in (*sides["train"], *sides["test"]):
        check_completion(row["completion"], row["raft"]["oracle"])
        assert row["answers"][0] in row["completion"].partition(QUOTE_END)[0]
        assert len(row["raft"]["documents"]) == 5
    train, test = ({row["raft"]["oracle"] for row in side} for side in sides.values())
    assert not train & test
    assert abs(len(sides["test"]) / raft.questions - 0.25) < 0.01


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("span", "text"),
    [
        ("an", "an ant, and an_ an2 (an) an"),
        ("aa", "aaaa aa éaa"),
        ("a.b", "a.b axb a.b_"),
        ("(x)", "(x)(x) y(x)"),
        ("none", ""),
    ],
)
def test_answers_are_found_as_a_pattern_finds_them(span: str, text: str, whole: bool) -> None:
    pattern = (r"(?<!\w){}(?!\w)" if whole else "{}").format(re.escape(span))
    expected = [match.span() for match in re.finditer(pattern, text)]
    assert list(_places(span, text, whole=whole)) == expected
