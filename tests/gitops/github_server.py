"""A stand-in for GitHub's comments on this machine, which does what a test tells it to."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    after: bool = False  # the request is carried out all the same


Fault = Callable[[str, str, int], Answer | None]  # of method, path, and how many requests came before


@dataclass
class GitHubServer:
    comments: list[Json] = field(default_factory=list)
    login: str | None = None  # of a person's token; None: an app's, which may not ask who it is
    page_size: int = 100  # at most
    fault: Fault = lambda method, path, count: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, body: str, user: Json | None = None) -> Json:
        number = len(self.comments) + 1
        made = {
            "id": number, "body": body, "user": user or BOT,
            "html_url": f"https://example.test/acme/search/pull/7#issuecomment-{number}",
        }  # fmt: skip
        self.comments.append(made)
        return made

    def answer(self, method: str, path: str, body: Json) -> Answer:
        if path == "/user":
            if self.login is None:
                return Answer(403, {"message": "Resource not accessible by integration"})
            return Answer(200, {"login": self.login, "type": "User"})
        listed = re.fullmatch(r"/repos/acme/search/issues/7/comments(?:\?per_page=(\d+)&page=(\d+))?", path)
        if listed and method == "GET":
            size = min(int(listed[1]), self.page_size)
            start = size * (int(listed[2]) - 1)
            more = start + size < len(self.comments)
            headers = {"link": f'<{self.url}/next>; rel="next"'} if more else {}
            return Answer(200, self.comments[start : start + size], headers)
        if listed and method == "POST":
            if len(body["body"]) > 65_536:
                return Answer(
                    422, {"message": "Validation Failed", "errors": [{"message": "Body is too long"}]}
                )
            user = BOT if self.login is None else {"login": self.login, "type": "User"}
            return Answer(201, self.add(body["body"], user))
        one = re.fullmatch(r"/repos/acme/search/issues/comments/(\d+)", path)
        if one and method == "PATCH":
            comment = self.comments[int(one[1]) - 1]
            if comment.get("locked"):
                return Answer(403, {"message": "Resource not accessible by integration"})
            comment["body"] = body["body"]
            return Answer(200, comment)
        return Answer(404, {"message": "Not Found"})


@contextmanager
def github() -> Iterator[GitHubServer]:
    server = GitHubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def act(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            server.tokens.add(self.headers.get("authorization", ""))
            count = len(server.requests)
            server.requests.append((self.command, self.path))
            answer = server.fault(self.command, self.path, count)
            if answer is None or answer.after:
                done = server.answer(self.command, self.path, body)
                answer = answer or done
            if answer.hang_up:
                self.close_connection = True
                return
            data = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = act

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = int(http.server_address[1])
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
