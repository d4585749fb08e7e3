"""A server on this machine that speaks both languages, and does what a test tells it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """A usual reply of status 200."""

    text: str
    tokens: tuple[int, int] | None = (100, 20)
    cut: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Raw:
    """A reply byte for byte. `promised`: length that the header claims, when more than what is sent."""

    body: bytes | str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class HangUp:
    """Close the connection without a word."""


Action = Say | Raw | HangUp
Script = Callable[[Body], Action]


def fault(status: int, message: str | dict[str, Any], **headers: str) -> Raw:
    return Raw(
        json.dumps({"error": message}),
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


class Server:
    """`chats` are the bodies it got, `most_at_once` the largest number of them at one time."""

    def __init__(self, script: Script, models: list[str]) -> None:
        self.script = script
        self.models: list[str] | Action = list(models)
        self.chats: list[Body] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.lists = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def wrap(self, wrap_socket: Callable[[Any], Any]) -> None:
        self._http.socket = wrap_socket(self._http.socket)

    def chat(self, body: Body, headers: dict[str, str]) -> Action:
        with self._lock:
            self.chats.append(body)
            self.times.append(time.monotonic())
            self.headers.append(headers)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        action: Action = HangUp()
        try:
            action = self.script(body)
            time.sleep(getattr(action, "seconds", 0.0))
        finally:
            with self._lock:
                self._at_once -= 1
        return action


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # header and body are two writes

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            server.lists += 1
            if not isinstance(server.models, list):
                self.act(server.models, "ollama")
            elif self.path == "/api/tags":
                self.send_json({"models": [{"name": name} for name in server.models]})
            elif self.path == "/v1/models":
                self.send_json({"object": "list", "data": [{"id": name} for name in server.models]})
            else:
                self.act(Raw("404 page not found", 404), "")

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length))
            apis = {"/api/chat": "ollama", "/v1/chat/completions": "openai"}
            if self.path not in apis:
                self.act(Raw("404 page not found", 404), "")
                return
            self.act(server.chat(body, dict(self.headers.items())), apis[self.path], body)

        def act(self, action: Action, api: str, body: Body | None = None) -> None:
            if isinstance(action, HangUp):
                self.close_connection = True
            elif isinstance(action, Say):
                assert body is not None
                self.send_json(usual_reply(api, action, body["model"]))
            else:
                data = action.body.encode() if isinstance(action.body, str) else action.body
                self.send_response(action.status)
                for name, value in action.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(action.promised or len(data)))
                try:
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # whoever asked is gone
                    self.close_connection = True
                self.close_connection = self.close_connection or action.promised is not None

        def send_json(self, value: Any) -> None:
            self.act(Raw(json.dumps(value), headers={"content-type": "application/json"}), "")

    return Handler


def usual_reply(api: str, say: Say, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": say.text}
    if api == "ollama":
        counts = (
            {} if say.tokens is None else {"prompt_eval_count": say.tokens[0], "eval_count": say.tokens[1]}
        )
        reason = "length" if say.cut else "stop"
        return {"model": model, "message": message, "done": True, "done_reason": reason, **counts}
    usage = {} if say.tokens is None else {
        "usage": {"prompt_tokens": say.tokens[0], "completion_tokens": say.tokens[1]}
    }  # fmt: skip
    choice = {"index": 0, "message": message, "finish_reason": "length" if say.cut else "stop"}
    return {"object": "chat.completion", "model": model, "choices": [choice], **usage}


@contextmanager
def serving(script: Script, models: tuple[str, ...] = ("good:latest", "other:7b")) -> Iterator[Server]:
    server = Server(script, list(models))
    try:
        yield server
    finally:
        server.stop()


# --- a model that does well -------------------------------------------------------------------


def document_of(body: Body) -> str:
    text: str = body["messages"][1]["content"]
    return text.partition("<<<\n")[2].rpartition("\n>>>")[0]


def good_model(body: Body) -> Say:
    """Answers every task from the document's words, as it should."""
    system, document = body["messages"][0]["content"], document_of(body)
    words = document.split()
    if system.startswith("You write questions"):
        answers = [" ".join(words[index : index + 2]) for index in range(0, min(len(words) - 1, 6), 2)]
        items = [{"question": f"What about {answer} here?", "answer": answer} for answer in answers]
        return Say(json.dumps({"questions": items}))
    if system.startswith("You write search queries"):
        return Say(json.dumps({"queries": [f"{words[0]} {words[1]} {word}" for word in words[2:5]]}))
    if system.startswith("You answer"):
        quote = " ".join(words[:3])
        known = body["messages"][1]["content"].rpartition("The right answer: ")
        answer = known[2] if known[1] else words[0]
        text = f"It says ##begin_quote##{quote}##end_quote##. <ANSWER>: {answer}"
        return Say(json.dumps({"text": text}))
    assert system.startswith("You grade")
    return Say(json.dumps({"reason": "fine", "score": 5}))
