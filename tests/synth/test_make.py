"""Asking a server that does well: what is asked, kept, counted, and never asked twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftspec.synth.account import Account, cost
from ftspec.synth.cache import Cache
from ftspec.synth.make import make_answers, make_questions
from ftspec.synth.stored import AnswerItem, stored_answers, stored_questions
from tests.synth.conftest import DOCUMENTS, at, make_request
from tests.synth.scripted_server import Body, Raw, Say, Server, document_of, good_model

Serve = Callable[..., Server]


@pytest.mark.parametrize("api", ["ollama", "openai"])
def test_questions_are_made_once_and_read_back_without_a_server(
    api: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve(good_model)
    request = make_request(endpoint=server.url, api=api, per_document=2)
    assert stored_questions(request, DOCUMENTS, tmp_path) == ((), 4)
    account = Account()
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), account)
    assert (counts.documents, counts.missing, counts.kept) == (4, 0, 8)
    assert (account.requests, account.made, account.input_tokens, account.output_tokens) == (4, 4, 400, 80)
    server.stop()
    rows, missing = stored_questions(request, DOCUMENTS, tmp_path)
    assert missing == 0
    assert [row.document_id for row in rows] == ["d1", "d1", "d2", "d2", "d3", "d3", "d4", "d4"]
    assert rows[0].answers == ("The harbour",)
    texts = dict(DOCUMENTS)
    assert all(row.answers[0] in texts[row.document_id] for row in rows)


def test_a_second_run_asks_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    request = make_request(endpoint=server.url, judge={"model": "other:7b"})
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    before = len(server.chats)
    account = Account()
    make_questions(request, DOCUMENTS, Cache(tmp_path), account)
    assert (len(server.chats), account.requests, account.made) == (before, 0, 0)
    assert [(phase.total, phase.stored) for phase in account.phases] == [(16, 16)]
    server.stop()
    make_questions(at(request, api_key="${env:NOT_SET}"), DOCUMENTS, Cache(tmp_path), Account())


def test_another_address_or_speed_is_the_same_text_and_another_model_is_not(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(good_model)
    request = make_request(endpoint=server.url)
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    elsewhere = at(
        request,
        endpoint="http://elsewhere:1",
        api="ollama",
        concurrency=9,
        timeout_seconds=1.0,
        api_key="${env:X}",
    )
    assert stored_questions(elsewhere, DOCUMENTS, tmp_path)[1] == 0
    for changed in (
        at(request, model="other"),
        at(request, temperature=0.1),
        at(request, seed=1),
        at(request, max_tokens=7),
        at(request, per_document=1),
        at(request, instruction="Ask in German."),
        make_request("queries"),
    ):
        assert stored_questions(changed, DOCUMENTS, tmp_path)[1] == 4
    assert stored_questions(request, [("d1", DOCUMENTS[0][1] + " Always.")], tmp_path)[1] == 1


def test_what_is_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    request = make_request(
        endpoint=server.url, api="ollama", seed=5, temperature=0.2, max_tokens=300, instruction="Nurses ask.",
        examples=[{"document": "Water boils.", "question": "What does water do?"}],
    )  # fmt: skip
    make_questions(request, DOCUMENTS[:1], Cache(tmp_path), Account())
    body = server.chats[0]
    assert body["stream"] is False
    assert body["format"]["required"] == ["questions"]
    assert body["options"] == {"temperature": 0.2, "seed": 5, "num_predict": 300, "num_ctx": 2048}
    system = body["messages"][0]["content"]
    assert "Write 3 different" in system
    assert "Nurses ask." in system
    assert "What does water do?" in system
    assert document_of(body) == DOCUMENTS[0][1]
    make_questions(at(request, api="openai"), DOCUMENTS[1:2], Cache(tmp_path), Account())
    body = server.chats[1]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert (body["max_tokens"], body["seed"], body["temperature"]) == (300, 5, 0.2)
    assert "n" not in body
    make_questions(
        at(request, api="openai", seed=None, temperature=None), DOCUMENTS, Cache(tmp_path), Account()
    )
    assert not {"seed", "temperature"} & server.chats[-1].keys()


def test_no_more_requests_at_a_time_than_allowed(serve: Serve, tmp_path: Path) -> None:
    def slowly(body: Body) -> Say:
        return Say(good_model(body).text, seconds=0.05)

    server = serve(slowly)
    documents = [(f"d{n}", f"Number {n} is a number that follows {n - 1} always.") for n in range(20)]
    request = make_request("queries", endpoint=server.url, concurrency=3)
    make_questions(request, documents, Cache(tmp_path), Account())
    assert len(server.chats) == 20
    assert server.most_at_once == 3


def test_empty_documents_and_copies_are_not_asked_and_the_limit_is_drawn(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(good_model)
    documents = [*DOCUMENTS, ("copy", DOCUMENTS[0][1]), ("empty", " \n")]
    request = make_request(endpoint=server.url)
    assert stored_questions(request, documents, tmp_path)[1] == 4
    limited = at(request, limit=2)
    make_questions(limited, documents, Cache(tmp_path), Account())
    assert len(server.chats) == 2
    rows, _ = stored_questions(limited, tuple(reversed(documents)), tmp_path)
    assert rows, "the draw goes by text, not by place"


def test_long_documents_are_read_up_to_the_limit(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    request = make_request(endpoint=server.url, max_document_chars=30)
    counts = make_questions(request, DOCUMENTS[:1], Cache(tmp_path), Account())
    assert counts.cut_documents == 1
    assert document_of(server.chats[0]) == DOCUMENTS[0][1][:30]


def test_the_fault_is_shown_to_the_model_which_then_does_better(serve: Serve, tmp_path: Path) -> None:
    def learns(body: Body) -> Say:
        if len(body["messages"]) > 2:
            return good_model(body)
        return Say('{"questions": [{"question": "When is it open?", "answer": "at midnight"}]}')

    server = serve(learns)
    account = Account()
    counts = make_questions(make_request(endpoint=server.url), DOCUMENTS[:1], Cache(tmp_path), account)
    assert (counts.kept, counts.dropped, account.requests) == (3, 0, 2)
    assert account.input_tokens == 200, "both tries are paid for"
    shown = server.chats[1]["messages"][-1]["content"]
    assert "`at midnight` does not stand in the document word for word" in shown
    assert server.chats[1]["seed"] != server.chats[0]["seed"]


def test_what_stays_faulty_is_dropped_counted_and_not_asked_again(serve: Serve, tmp_path: Path) -> None:
    def dislikes_violins(body: Body) -> Say:
        return Say("I cannot do that.") if "violin" in document_of(body) else good_model(body)

    server = serve(dislikes_violins)
    request = make_request(endpoint=server.url)
    account = Account()
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), account)
    assert (counts.documents, counts.missing, counts.dropped, counts.kept) == (4, 0, 1, 9)
    assert (account.requests, account.dropped) == (6, 1)
    rows, missing = stored_questions(request, DOCUMENTS, tmp_path)
    assert missing == 0
    assert {row.document_id for row in rows} == {"d1", "d2", "d4"}
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    assert len(server.chats) == 6
    server.script = good_model
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account(), retry_dropped=True)
    assert len(server.chats) == 7
    assert len(stored_questions(request, DOCUMENTS, tmp_path)[0]) == 12


def test_usable_items_of_a_faulty_reply_are_kept(serve: Serve, tmp_path: Path) -> None:
    items = [
        {"question": "When does it open?", "answer": "AT  NINE"},
        {"question": "When does it open?", "answer": "at nine"},
        {"question": "?", "answer": "at nine"},
        {"question": "When does it close?", "answer": "“at five.”"},
        {"question": "Who?", "answer": "nobody"},
    ]
    server = serve(
        lambda body: Say(f"<think>hm</think> Sure!\n```json\n{json.dumps({'questions': items})}\n```")
    )
    request = make_request(endpoint=server.url)
    make_questions(request, DOCUMENTS[:1], Cache(tmp_path), Account())
    assert len(server.chats) == 1
    rows, _ = stored_questions(request, DOCUMENTS[:1], tmp_path)
    assert [row.answers for row in rows] == [("at nine",), ("at five",)]


def test_the_judge_leaves_out_low_grades(serve: Serve, tmp_path: Path) -> None:
    def strict(body: Body) -> Say:
        if body["messages"][0]["content"].startswith("You grade"):
            assert body["model"] == "other:7b"
            assert body["temperature"] == 0
            return Say(json.dumps({"score": 5 if "violin" in document_of(body) else 3}))
        return good_model(body)

    server = serve(strict)
    request = make_request(endpoint=server.url, judge={"model": "other:7b", "min_score": 4})
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    assert (counts.written, counts.low_grades, counts.kept) == (12, 9, 3)
    rows, missing = stored_questions(request, DOCUMENTS, tmp_path)
    assert missing == 0
    assert {row.document_id for row in rows} == {"d3"}
    looser = make_request(endpoint=server.url, judge={"model": "other:7b", "min_score": 3})
    assert len(stored_questions(looser, DOCUMENTS, tmp_path)[0]) == 12, "grades are stored, not verdicts"


def test_the_round_trip_keeps_what_finds_its_own_document(serve: Serve, tmp_path: Path) -> None:
    def mixed(body: Body) -> Say:
        own = document_of(body).split()
        return Say(json.dumps({"queries": [" ".join(own[1:4]), "glaciers in the sea", "zzz unknown"]}))

    server = serve(mixed)
    request = make_request("queries", endpoint=server.url, round_trip=True)
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    assert (counts.written, counts.not_found_first, counts.kept) == (12, 7, 5)
    rows, _ = stored_questions(request, DOCUMENTS, tmp_path)
    assert [row.document_id for row in rows if row.question == "glaciers in the sea"] == ["d2"]


def test_written_answers(serve: Serve, tmp_path: Path) -> None:
    def model(body: Body) -> Say:
        if "violin" in document_of(body):
            return Say(json.dumps({"text": "##begin_quote##not there##end_quote## <ANSWER>: four"}))
        return good_model(body)

    server = serve(model)
    request = make_request("answers", endpoint=server.url, judge={})
    items = [
        AnswerItem(question="When does it open?", document=DOCUMENTS[0][1], answers=("at nine",)),
        AnswerItem(question="How many strings?", document=DOCUMENTS[2][1], answers=("four",)),
        AnswerItem(question="When does it open?", document=DOCUMENTS[0][1], answers=("at nine",)),
    ]
    assert stored_answers(request, items, tmp_path) == ((None, None, None), 2)
    counts = make_answers(request, items, Cache(tmp_path), Account())
    assert (counts.missing, counts.dropped, counts.kept) == (0, 1, 2)
    answers, missing = stored_answers(request, items, tmp_path)
    assert missing == 0
    text = "It says ##begin_quote##The harbour office##end_quote##. <ANSWER>: at nine"
    assert answers == (text, None, text)


def test_a_run_that_is_stopped_goes_on_where_it_was(serve: Serve, tmp_path: Path) -> None:
    def stops(body: Body) -> Say:
        if len(server.chats) > 2:
            raise AssertionError("stopped")
        return good_model(body)

    server = serve(stops)
    request = make_request(endpoint=server.url, concurrency=1)
    seen: list[int] = []

    def interrupt(phase: Any) -> None:
        seen.append(phase.made)
        if phase.made == 2:
            raise KeyboardInterrupt

    account = Account()
    with pytest.raises(KeyboardInterrupt):
        make_questions(request, DOCUMENTS, Cache(tmp_path), account, observe=interrupt)
    assert account.made == 2
    assert stored_questions(request, DOCUMENTS, tmp_path)[1] == 2
    server.script = good_model
    before = len(server.chats)
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    assert len(server.chats) == before + 2
    assert stored_questions(request, DOCUMENTS, tmp_path)[1] == 0


def test_tokens_are_estimated_where_the_server_counts_none_and_money_needs_prices(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(lambda body: Say(good_model(body).text, tokens=None))
    request = make_request(endpoint=server.url, prices={"input": 2, "output": 10.0})
    account = Account()
    make_questions(request, DOCUMENTS[:1], Cache(tmp_path), account)
    assert account.counted is False
    assert 100 < account.input_tokens < 400
    assert cost(request.settings.prices, 1_000_000, 100_000) == pytest.approx(3.0)
    assert cost(None, 10, 10) is None


def test_servers_that_refuse_schemas_are_asked_in_another_form(serve: Serve, tmp_path: Path) -> None:
    def old(body: Body) -> Say | Raw:
        if body.get("response_format", {}).get("type") == "json_schema":
            return Raw('{"error": {"message": "response_format json_schema is not supported"}}', 400)
        if "response_format" in body:
            return Raw('{"detail": "response_format: extra fields not permitted"}', 422)
        if "max_tokens" in body:
            return Raw('{"error": {"message": "use \'max_completion_tokens\' instead"}}', 400)
        return good_model(body)

    server = serve(old)
    request = make_request(endpoint=server.url, concurrency=1)
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    assert counts.kept == 12
    assert len(server.chats) == 3 + 4


def test_replies_that_come_as_a_stream_all_the_same_are_read(serve: Serve, tmp_path: Path) -> None:
    def streams(body: Body) -> Raw:
        text = good_model(body).text
        pieces = [text[:20], text[20:]]
        if "format" in body:
            lines = [{"message": {"content": piece}, "done": False} for piece in pieces]
            lines.append({"message": {"content": ""}, "done": True, "prompt_eval_count": 9, "eval_count": 4})
            return Raw("\n".join(map(json.dumps, lines)))
        chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
        return Raw(
            ": hello\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n"
        )

    server = serve(streams)
    for api in ("ollama", "openai"):
        account = Account()
        folder = tmp_path / api
        request = make_request(endpoint=server.url, api=api)
        assert make_questions(request, DOCUMENTS, Cache(folder), account).kept == 12
        assert (account.input_tokens, account.output_tokens, account.counted) == (36, 16, True)
