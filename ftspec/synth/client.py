"""The connection to an endpoint: one reply at a time, asked for again while that can help.

Everything that can go wrong leaves as an EndpointError. No message of it holds the key.
"""

import asyncio
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Self

from ftspec.synth import endpoint as api
from ftspec.synth import faults
from ftspec.synth.endpoint import Dialect, Endpoint, Question, Reply
from ftspec.synth.faults import EndpointError

if TYPE_CHECKING:
    from types import TracebackType

    import httpx2

TRIES = 5  # of one request that fails in a way that may pass
TIMED_OUT_TRIES = 2
CONNECT_SECONDS = 10.0
LIST_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0  # between tries, of our own accord
LONGEST_RETRY_AFTER_SECONDS = 300.0  # a server that asks for more is one to come back to another day
LARGEST_BODY_BYTES = 16_000_000
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_SPENT = ("insufficient_quota", "insufficient quota", "billing", "credit")  # a 429 that no wait mends


class Client:
    """Use as `async with`. `backoff_seconds` is the first pause between two tries; it doubles."""

    def __init__(
        self, endpoint: Endpoint, *, timeout_seconds: float, concurrency: int, backoff_seconds: float = 1.0
    ) -> None:
        self.endpoint = endpoint
        self.dialect = Dialect()
        self.requests = 0  # sent, of chats
        self._timeout_seconds = timeout_seconds
        self._concurrency = concurrency
        self._backoff_seconds = backoff_seconds
        self._not_before = 0.0  # monotonic time that a server asked all of us to wait for
        self._answered = False
        self._http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx2

        headers = {"user-agent": "ftspec", "content-type": "application/json", "accept": "application/json"}
        if self.endpoint.secret is not None:
            headers["authorization"] = f"Bearer {self.endpoint.secret.reveal()}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(
                max_connections=self._concurrency, max_keepalive_connections=self._concurrency
            ),
            verify=httpx2.create_ssl_context(),  # by SSL_CERT_FILE also where proxies are not asked
            trust_env=not self.endpoint.is_local,  # a proxy does not know our localhost
            follow_redirects=False,  # the key is for this address alone
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        assert self._http is not None
        await self._http.aclose()

    async def models(self, seconds: float = LIST_SECONDS) -> tuple[str, ...]:
        """Names that the endpoint lists."""
        url = api.models_path(self.endpoint)
        status, body, wait = await self._send("GET", url, None, seconds)
        if status != 200:
            raise self._bad_status(status, body, wait)
        try:
            return api.read_models(self.endpoint, body)
        except api.NotAReplyError as error:
            raise faults.not_api(url, str(error), self.endpoint.api) from None

    async def chat(self, question: Question) -> Reply:
        """A reply, however useless. Raises EndpointError when tries are used up, or none would help."""
        tries = 0
        while True:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            dialect = self.dialect
            try:
                reply = await self._once(question, dialect)
            except EndpointError as error:
                if self.dialect is not dialect:
                    continue  # refused for its form, and now put in another
                tries += 1
                last = tries >= (TIMED_OUT_TRIES if error.code.id == "FTS754" else TRIES)
                if not error.again or last:
                    raise
                pause = min(LONGEST_PAUSE_SECONDS, self._backoff_seconds * 2 ** (tries - 1))
                if error.wait_seconds is None:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the tries
                else:
                    pause = max(pause, error.wait_seconds)
                    self._not_before = max(self._not_before, time.monotonic() + pause)
            else:
                self._answered = True
                return reply

    async def _once(self, question: Question, dialect: Dialect) -> Reply:
        url = api.chat_path(self.endpoint)
        self.requests += 1
        status, body, wait = await self._send(
            "POST", url, api.request_body(self.endpoint, question, dialect), self._timeout_seconds
        )
        if status != 200:
            if status in (400, 422) and not self.endpoint.is_ollama:
                other = api.other_dialect(dialect, body.decode("utf-8", "replace"))
                if other is not None and self.dialect is dialect:
                    self.dialect = other
            raise await self._explained(status, body, wait, question.model)
        try:
            return api.read_reply(self.endpoint, body)
        except api.NotAReplyError as error:
            raise faults.not_api(url, str(error), self.endpoint.api) from None
        except api.BrokenOffError as error:
            raise faults.lost(self.endpoint.url, str(error)) from None
        except api.ErrorInReplyError as error:
            message = self._clean(str(error))
            if _names_no_model(message):
                raise await self._no_model(question.model) from None
            raise faults.failed(self.endpoint.url, message, again=True, fatal=False) from None

    async def _explained(self, status: int, body: bytes, wait: float | None, model: str) -> EndpointError:
        """What a bad status of a chat means: an unknown model is told by 404, or by 400 and words."""
        message = api.error_text(_json(body))
        if _names_no_model(message) and status in (400, 404):
            return await self._no_model(model)
        if status == 404 and message:
            with suppress(EndpointError):
                if model not in await self.models():
                    return await self._no_model(model)
                return faults.failed(self.endpoint.url, f"status 404: {self._clean(message)}", again=False)
        return self._bad_status(status, body, wait)

    async def _no_model(self, model: str) -> EndpointError:
        try:
            known = await self.models()
        except EndpointError:
            known = ()
        return faults.no_model(self.endpoint.url, model, known, is_ollama=self.endpoint.is_ollama)

    def _bad_status(self, status: int, body: bytes, wait: float | None) -> EndpointError:
        """What a status other than 200 means."""
        url, endpoint = self.endpoint.url, self.endpoint
        message = self._clean(api.error_text(_json(body)))
        if status in (401, 403):
            return faults.refused(url, status, message, endpoint.api_key)
        if 300 <= status < 400:
            return faults.not_api(url, f"status {status}: it leads elsewhere", endpoint.api)
        if status in (404, 405):
            return faults.not_api(url, f"status {status}: there is no such path", endpoint.api)
        said = f"status {status}" + (f": {message}" if message else "")
        if status in _BUSY:
            if status == 429 and any(word in body.decode("utf-8", "replace").lower() for word in _SPENT):
                return faults.failed(url, said, again=False, help="the account has nothing left to spend")
            if wait is not None and wait > LONGEST_RETRY_AFTER_SECONDS:
                return faults.failed(
                    url,
                    f"{said}; asks to wait for {wait:.0f} s",
                    again=False,
                    help="run the same command later",
                )
            return faults.failed(
                url,
                said,
                again=True,
                fatal=status == 429,
                wait=wait,
                help="lower `concurrency`, or run the same command later; what was finished is kept",
            )
        help = ""
        if status in (400, 413, 422) and _TOO_LONG.search(message.lower()):
            return faults.failed(
                url, said, again=False, fatal=False, help="lower `max_document_chars` or `max_tokens`"
            )
        if status in (400, 422) and any(word in message.lower() for word in ("temperature", "seed")):
            help = "write `temperature: null` or `seed: null`, so that it is not sent"
        return faults.failed(url, said, again=False, help=help)

    async def _send(
        self, method: str, url: str, content: bytes | None, seconds: float
    ) -> tuple[int, bytes, float | None]:
        """(status, body, seconds of Retry-After)"""
        import httpx2

        assert self._http is not None
        try:
            async with asyncio.timeout(seconds):
                async with self._http.stream(method, url, content=content) as response:
                    body = bytearray()
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > LARGEST_BODY_BYTES:
                            raise faults.not_api(url, "the reply does not end", self.endpoint.api)
                    return (
                        response.status_code,
                        self._without_secret(bytes(body)),
                        _retry_after(response.headers.get("retry-after")),
                    )
        except httpx2.ConnectTimeout:
            reason = f"no connection within {CONNECT_SECONDS:g} s"
            raise faults.not_running(self.endpoint.url, reason, is_ollama=self.endpoint.is_ollama) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise faults.timed_out(self.endpoint.url, seconds) from None
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise faults.not_api(url, self._clean(str(error)), self.endpoint.api) from None
        except httpx2.HTTPError as error:
            raise self._transport(error) from None

    def _transport(self, error: "httpx2.HTTPError") -> EndpointError:
        """Why there was no response, or only a part of one."""
        import httpx2

        url = self.endpoint.url
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return faults.no_trust(url, self._clean(str(cause)))
        reason = _refusal(error) or self._clean(str(error)) or type(error).__name__
        if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
            if self._answered:
                return faults.lost(
                    url, f"it answered before, and now refuses connections ({reason})", fatal=True
                )
            return faults.not_running(url, reason, is_ollama=self.endpoint.is_ollama)
        return faults.lost(url, f"the connection broke off ({reason})")

    def _clean(self, text: str) -> str:
        secret = self.endpoint.secret
        return text if secret is None else secret.hide_in(text)

    def _without_secret(self, body: bytes) -> bytes:
        """A server may say the key back, in an error or anywhere; it is told nobody, nor stored."""
        secret = self.endpoint.secret
        return body if secret is None else body.replace(secret.reveal().encode(), "•••".encode())


def _refusal(error: BaseException) -> str:
    """The usual reasons for no connection, in words; "" for others."""
    for cause in _causes(error):
        for part in cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,):
            if isinstance(part, ConnectionRefusedError):
                return "the connection was refused"
            if isinstance(part, socket.gaierror):
                return "the host is not known"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        current = current.__cause__ or current.__context__


def _json(body: bytes) -> object:
    import json

    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


_NO_MODEL = re.compile(
    r"(unknown|no such|invalid) model|model\b.{0,200}\b(not found|not exist|does not exist)", re.S
)
_TOO_LONG = re.compile(r"context (length|size|window)|too (long|many tokens)|maximum.{0,40}tokens", re.S)


def _names_no_model(message: str) -> bool:
    return _NO_MODEL.search(message.lower()) is not None


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
