"""Everything that an endpoint can do wrong: the code, the remedy, what is kept, and that no key shows."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import find_code
from ftspec.synth.account import Account
from ftspec.synth.cache import Cache
from ftspec.synth.endpoint import endpoint_at, ollama_url, resolve_endpoint
from ftspec.synth.faults import EndpointError
from ftspec.synth.make import make_questions
from ftspec.synth.stored import stored_questions
from tests.synth.conftest import DOCUMENTS, make_request
from tests.synth.scripted_server import Action, Body, HangUp, Raw, Say, Server, document_of, fault, good_model

Serve = Callable[..., Server]
KEY = "sk-very-secret-0123456789"
BOTH = pytest.mark.parametrize("api", ["ollama", "openai"])


def failing(folder: Path, account: Account | None = None, **settings: Any) -> EndpointError:
    """The error that asking the documents ends in; quick between tries."""
    request = make_request(**{"concurrency": 1, **settings})
    with pytest.raises(EndpointError) as caught:
        make_questions(request, DOCUMENTS, Cache(folder), account or Account(), backoff_seconds=0.01)
    return caught.value


def stored(folder: Path, **settings: Any) -> int:
    """How many of the documents have an answer."""
    return len(DOCUMENTS) - stored_questions(make_request(**settings), DOCUMENTS, folder)[1]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def after(count: int, then: Action) -> Callable[[Server], Callable[[Body], Action]]:
    """Good for `count` chats, then `then`."""

    def script_for(server: Server) -> Callable[[Body], Action]:
        return lambda body: good_model(body) if len(server.chats) <= count else then

    return script_for


# --- FTS751: nothing there --------------------------------------------------------------------


def test_ollama_is_not_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    started = time.monotonic()
    error = failing(tmp_path, endpoint="ollama")
    assert error.code is codes.ENDPOINT_NOT_RUNNING
    assert "ollama serve" in error.help
    assert "the connection was refused" in error.detail
    assert "FTS751" in str(error)
    assert time.monotonic() - started < 2
    assert not any(tmp_path.iterdir())


def test_the_host_does_not_exist(tmp_path: Path) -> None:
    error = failing(tmp_path, endpoint="http://no-such-host.invalid:8000")
    assert error.code is codes.ENDPOINT_NOT_RUNNING
    assert "the host is not known" in error.detail


# --- FTS752: no such model --------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        fault(404, "model 'good' not found"),
        fault(404, {"message": "The model `good` does not exist", "code": "model_not_found"}),
        fault(400, {"message": "unknown model: good"}),
        fault(404, "Repository not there"),
        Raw('{"error": "model \\"good\\" not found, try pulling it first"}'),
    ],
    ids=["ollama", "openai", "400", "hub", "200"],
)
def test_no_such_model_names_those_that_are_there(
    api: str, answer: Raw, serve: Serve, tmp_path: Path
) -> None:
    server = serve(lambda body: answer, models=("llama3.2:3b", "qwen3:8b"))
    error = failing(tmp_path, endpoint=server.url, api=api)
    assert error.code is codes.ENDPOINT_NO_MODEL
    assert "has no model `good`; it has llama3.2:3b, qwen3:8b" in error.detail
    assert ("ollama pull good" in error.help) == (api == "ollama")
    assert len(server.chats) == 1, "asking again does not help"


# --- FTS753: keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_never_shown(
    status: int, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = serve(lambda body: fault(status, {"message": f"Incorrect API key provided: {KEY}."}))
    error = failing(tmp_path, endpoint=server.url, api_key="${env:MY_KEY}")
    assert error.code is codes.ENDPOINT_REFUSED
    assert "MY_KEY" in error.help
    assert "Incorrect API key provided: •••" in error.detail
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{error!r} {error} {error.diagnostic()!r}"


def test_without_a_key_the_remedy_is_to_name_one(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: fault(401, "no key"))
    assert "${env:NAME}" in failing(tmp_path, endpoint=server.url).help
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("value", [None, "", " \n", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_is_not_set_or_is_none(
    value: str | None, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    server = serve(good_model)
    error = failing(tmp_path, endpoint=server.url, api_key="${env:MY_KEY}")
    assert error.code is codes.ENDPOINT_REFUSED
    assert "MY_KEY" in error.detail
    assert not server.chats


def test_a_key_stands_in_no_repr_and_in_no_stored_file(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level("DEBUG")
    server = serve(good_model)
    request = make_request(endpoint=server.url, api_key="${env:MY_KEY}")
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    endpoint = resolve_endpoint(request.settings)
    assert KEY not in f"{request!r} {endpoint!r} {endpoint.secret!r} {endpoint.secret}"
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert texts
    assert not any(KEY in text for text in texts)
    assert not any("MY_KEY" in text for text in texts)
    assert KEY not in caplog.text


@pytest.mark.parametrize("said", [f"Bearer {KEY}", f"{'x' * 50} {KEY}"])
def test_a_key_that_comes_back_in_no_reply_is_not_told(
    said: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only its beginning would be shown."""
    monkeypatch.setenv("MY_KEY", KEY)
    error = failing(tmp_path, endpoint=serve(lambda body: Raw(said, 200)).url, api_key="${env:MY_KEY}")
    assert error.code is codes.ENDPOINT_NOT_API
    assert KEY[:8] not in f"{error!r} {error} {error.diagnostic()!r}"


def test_a_url_with_a_query_is_refused() -> None:
    with pytest.raises(EndpointError, match=r"FTS.*https://h/v1: a part behind `\?` or `#` is not used"):
        endpoint_at("https://h/v1?api-version=1&key=abc", "openai", None)


def test_a_redirect_is_not_followed_with_the_key(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    other = serve(good_model)
    server = serve(lambda body: Raw("", 307, {"location": f"{other.url}/v1/chat/completions"}))
    assert failing(tmp_path, endpoint=server.url, api_key="${env:MY_KEY}").code is codes.ENDPOINT_NOT_API
    assert not other.chats


# --- FTS754: too slow -------------------------------------------------------------------------


@BOTH
def test_a_reply_that_takes_too_long(api: str, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: Say("{}", seconds=0.6))
    error = failing(tmp_path, endpoint=server.url, api=api, timeout_seconds=0.15, concurrency=3)
    assert error.code is codes.ENDPOINT_TIMED_OUT
    assert "within 0.15 s" in error.detail
    assert "timeout_seconds" in error.help


def test_a_server_that_trickles_is_no_way_around_the_time_out(tmp_path: Path) -> None:
    """Bytes that come one by one reset every read, and not the clock."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=trickle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        error = failing(tmp_path, endpoint=url, timeout_seconds=0.3)
        assert error.code is codes.ENDPOINT_TIMED_OUT
    finally:
        stop.set()
        listener.close()


# --- FTS755: useless --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Certainly! Here you go.", "the reply holds no JSON object in `Certainly! Here you go.`"),
        ("", "the reply is empty"),
        ("<think>where was I", "the reply is reasoning only"),
        ('{"questions": []}', "`questions` is empty"),
        ('{"questions": "none"}', "`questions` is not a list"),
        (
            '{"questions": [{"question": "Why?", "answer": "by magic"}]}',
            "`by magic` does not stand in the document",
        ),
        ('{"queries": ["\\ud83d"]}', "the reply holds no JSON object"),
        ("{" * 5000, "the reply holds no JSON object"),
    ],
)
def test_replies_that_cannot_be_used(text: str, said: str, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: Say(text))
    account = Account()
    error = failing(tmp_path, account, endpoint=server.url)
    assert error.code is codes.SYNTH_GARBAGE
    assert said in error.detail
    assert "none of 4 requests" in error.detail
    assert account.requests == 4 * 3, "three tries each"
    assert not any(tmp_path.rglob("*.jsonl")), "another model may do better: nothing is stored"


def test_a_useless_model_is_found_out_before_all_documents_are_paid_for(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: Say("no", cut=True))
    documents = [(f"d{n}", f"Text number {n} of many.") for n in range(100)]
    with pytest.raises(EndpointError) as caught:
        make_questions(
            make_request(endpoint=server.url, concurrency=4), documents, Cache(tmp_path), Account()
        )
    assert caught.value.code is codes.SYNTH_GARBAGE
    assert "cut off at 1024 tokens" in caught.value.detail
    assert len(server.chats) <= 3 * (5 + 4)


# --- FTS756: errors ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        fault(429, "slow down", retry_after="0"),
        fault(500, "out of memory"),
        fault(503, "loading model"),
        Raw("<html>Bad gateway</html>", 502),
        Raw('{"error": "llama runner process has terminated: exit status 2"}'),
        Raw('{"message": {"content": "{\\"que"}, "done": false}\n{"error": "runner crashed"}\n'),
        Raw(
            'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: {"error": {"message": "runner crashed"}}\n\n'
        ),
    ],
    ids=["429", "500", "503", "502", "200", "stream-ollama", "stream-openai"],
)
def test_errors_that_may_pass_are_tried_again(api: str, answer: Raw, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: answer if len(server.chats) <= 3 else good_model(body))
    request = make_request(endpoint=server.url, api=api, concurrency=1)
    counts = make_questions(request, DOCUMENTS, Cache(tmp_path), Account(), backoff_seconds=0.01)
    assert counts.kept == 12
    assert len(server.chats) == 3 + 4


@BOTH
def test_errors_that_stay_end_the_run_with_what_was_finished_kept(
    api: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve(good_model)
    server.script = after(2, Raw('{"error": "the model crashed"}'))(server)
    error = failing(tmp_path, endpoint=server.url, api=api)
    assert error.code is codes.ENDPOINT_FAILED
    assert "the model crashed" in error.detail
    assert "(2 requests failed)" in error.detail
    assert len(server.chats) == 2 + 2 * 5
    assert stored(tmp_path) == 2


def test_one_document_that_the_server_chokes_on_does_not_stop_the_others(
    serve: Serve, tmp_path: Path
) -> None:
    def chokes(body: Body) -> Action:
        return fault(500, "cannot tokenize") if "Glaciers" in document_of(body) else good_model(body)

    server = serve(chokes)
    account = Account()
    error = failing(tmp_path, account, endpoint=server.url)
    assert "(1 request failed)" in error.detail
    assert (account.made, account.failed) == (3, 1)
    assert stored(tmp_path) == 3


def test_a_document_that_is_too_long_for_the_model_does_not_stop_the_others(
    serve: Serve, tmp_path: Path
) -> None:
    def short_of_context(body: Body) -> Action:
        too_long = {"message": "This model's maximum context length is 2048 tokens."}
        return fault(400, too_long) if "Glaciers" in document_of(body) else good_model(body)

    server = serve(short_of_context)
    error = failing(tmp_path, endpoint=server.url)
    assert "max_document_chars" in error.help
    assert len(server.chats) == 4
    assert stored(tmp_path) == 3


def test_an_unknown_error_is_no_unknown_model(serve: Serve, tmp_path: Path) -> None:
    said = "an unknown error was encountered while running the model"
    server = serve(lambda body: fault(500, said) if len(server.chats) == 1 else good_model(body))
    request = make_request(endpoint=server.url)
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account(), backoff_seconds=0.01)
    server.script = lambda body: Raw(json.dumps({"error": said}))
    assert failing(tmp_path / "other", endpoint=server.url).code is codes.ENDPOINT_FAILED


def test_a_server_that_always_fails_is_left_after_three_documents(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: fault(500, "broken"))
    assert failing(tmp_path, endpoint=server.url).code is codes.ENDPOINT_FAILED
    assert len(server.chats) == 3 * 5


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured_by_all_requests(as_date: bool, serve: Serve, tmp_path: Path) -> None:
    def busy(body: Body) -> Action:
        if len(server.chats) > 1:
            return good_model(body)
        wait = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        return fault(429, "later", retry_after=wait)

    server = serve(busy)
    request = make_request(endpoint=server.url, concurrency=1)
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account(), backoff_seconds=0.01)
    assert server.times[1] - server.times[0] >= 0.9


def test_a_wait_of_hours_and_an_empty_purse_end_the_run(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: fault(429, "quota", retry_after="7200"))
    assert "7200 s" in failing(tmp_path, endpoint=server.url).detail
    assert len(server.chats) == 1
    server.script = lambda body: fault(429, {"message": "You exceeded", "code": "insufficient_quota"})
    assert "spend" in failing(tmp_path, endpoint=server.url).help
    assert len(server.chats) == 2


def test_a_parameter_that_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: fault(400, {"message": "Unsupported value: 'temperature' must be 1"}))
    error = failing(tmp_path, endpoint=server.url)
    assert error.code is codes.ENDPOINT_FAILED
    assert "temperature: null" in error.help
    assert len(server.chats) == 1


# --- FTS757: gone -----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "broken",
    [
        HangUp(),
        Raw('{"message": {"role": "assis', promised=900),
        Raw('{"message": {"role": "assis'),
        Raw('{"message": {"content": "{"}, "done": false}\n{"message": {"content": "\\"q"}, "done": false}\n')
    ],
    ids=["hangs-up", "half-a-body", "half-an-object", "half-a-stream"],
)  # fmt: skip
def test_a_reply_that_breaks_off(api: str, broken: Action, serve: Serve, tmp_path: Path) -> None:
    if api == "openai" and isinstance(broken, Raw) and "done" in str(broken.body):
        broken = Raw(
            'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: {"choices": [{"delta": {}}]}\n\n'
        )
    server = serve(good_model)
    server.script = after(1, broken)(server)
    error = failing(tmp_path, endpoint=server.url, api=api)
    assert error.code is codes.ENDPOINT_LOST
    assert stored(tmp_path) == 1


def test_an_endpoint_that_is_killed_in_mid_generation_and_comes_back(serve: Serve, tmp_path: Path) -> None:
    def dies(body: Body) -> Action:
        if len(server.chats) <= 2:
            return good_model(body)
        threading.Thread(target=server.stop).start()
        return Raw('{"choices": [{"message": {"con', promised=500, seconds=0.1)

    server = serve(dies)
    error = failing(tmp_path, endpoint=server.url)
    assert error.code is codes.ENDPOINT_LOST
    assert "answered before" in error.detail
    assert "same command again" in error.help
    assert stored(tmp_path) == 2
    again = serve(good_model)
    counts = make_questions(make_request(endpoint=again.url), DOCUMENTS, Cache(tmp_path), Account())
    assert counts.missing == 0
    assert len(again.chats) == 2, "what was finished is not asked again"


# --- FTS758: something else -------------------------------------------------------------------


@pytest.mark.parametrize("url", ["ftp://host", "localhost:8000", "http://", "http://host:port", "nonsense"])
def test_what_is_no_url(url: str, tmp_path: Path) -> None:
    assert failing(tmp_path, endpoint=url).code is codes.ENDPOINT_NOT_API


def test_a_password_in_the_url_is_refused_and_not_shown(tmp_path: Path) -> None:
    error = failing(tmp_path, endpoint="https://me:hunter2@host/v1")
    assert error.code is codes.ENDPOINT_NOT_API
    assert "hunter2" not in str(error)


@BOTH
@pytest.mark.parametrize(
    "answer",
    [Raw("<!doctype html><title>Welcome</title>"), Raw('{"hello": "world"}'), Raw("[1]"), Raw("404", 404)],
    ids=["html", "other-json", "list", "404"],
)
def test_a_server_of_another_kind(api: str, answer: Raw, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: answer)
    error = failing(tmp_path, endpoint=server.url, api=api)
    assert error.code is codes.ENDPOINT_NOT_API
    assert f"api: {'openai' if api == 'ollama' else 'ollama'}" in error.help


def test_a_path_that_is_not_there(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    assert failing(tmp_path, endpoint=f"{server.url}/openai").code is codes.ENDPOINT_NOT_API
    server.script = lambda body: fault(404, {"detail": "Not Found"})
    server.models = Raw('{"detail": "Not Found"}', 404)
    assert failing(tmp_path, endpoint=server.url).code is codes.ENDPOINT_NOT_API


@pytest.mark.parametrize(
    ("url", "api", "meant"),
    [
        ("http://h:1", "openai", "http://h:1/v1"),
        ("http://h:1/v1/", "openai", "http://h:1/v1"),
        ("https://h/api/openai", "openai", "https://h/api/openai"),
        ("https://h/v1/chat/completions", "openai", "https://h/v1"),
        ("http://h:1", "ollama", "http://h:1"),
        ("http://h:1/api/", "ollama", "http://h:1"),
        ("http://h:1/v1", "ollama", "http://h:1"),
    ],
)
def test_urls_as_people_write_them(url: str, api: str, meant: str) -> None:
    assert endpoint_at(url, api, None).url == meant


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:5000", "http://127.0.0.1:5000"),
        (":5000", "http://127.0.0.1:5000"),
        ("box", "http://box:11434"),
        ("http://box", "http://box:80"),
        ("https://box/ollama/", "https://box:443/ollama"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_ollama_host(host: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ollama_url() == meant


# --- FTS759: no trust -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


def test_a_certificate_that_nobody_trusts(
    certificate: tuple[Path, Path], serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = serve(good_model)
    server.wrap(lambda plain: context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False))
    url = f"https://localhost:{server.port}"
    error = failing(tmp_path, endpoint=url)
    assert error.code is codes.ENDPOINT_TLS
    assert "SSL_CERT_FILE" in error.help
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    counts = make_questions(make_request(endpoint=url), DOCUMENTS, Cache(tmp_path), Account())
    assert counts.kept == 12


def test_https_to_a_server_without_tls(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    error = failing(tmp_path, endpoint=server.url.replace("http://", "https://"))
    assert error.code is codes.ENDPOINT_TLS
    assert "http://" in error.help


# --- all of them ------------------------------------------------------------------------------

SHOWN = ("FTS751", "FTS752", "FTS753", "FTS754", "FTS755", "FTS756", "FTS757", "FTS758", "FTS759")


def test_every_code_says_more_when_it_is_explained() -> None:
    for id in SHOWN:
        found = find_code(id)
        assert found is not None
        assert len(found.explanation) > 60


def test_damaged_entries_are_asked_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(good_model)
    request = make_request(endpoint=server.url)
    make_questions(request, DOCUMENTS, Cache(tmp_path), Account())
    (file,) = tmp_path.rglob("*.jsonl")
    lines = sorted(file.read_text().splitlines(), key=lambda line: "harbour" in line)
    lines = [lines[0], lines[-1], *lines[1:-1]]  # answers come in any order
    assert "harbour" in lines[1]
    lines[1] = lines[1].replace("harbour", "HARBOUR")
    changed = json.loads(lines[2])
    changed["value"] = {"questions": []}
    lines[2] = json.dumps(changed)
    file.write_text("\n".join(lines)[:-30])  # and the last line is cut off, as by a full disk
    assert stored_questions(request, DOCUMENTS, tmp_path)[1] == 3
    account = Account()
    make_questions(request, DOCUMENTS, Cache(tmp_path), account)
    assert (account.made, account.damaged) == (3, 3)
    assert stored_questions(request, DOCUMENTS, tmp_path)[1] == 0
