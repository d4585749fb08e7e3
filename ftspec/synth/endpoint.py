"""Where a model answers, and the two languages that servers speak: how a question is put, and how a reply
is read. No connection is made here."""

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ftspec.plan.synth import SynthSettings
from ftspec.synth import faults
from ftspec.synth.tasks import JsonObject

OLLAMA_PORT = 11434
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_KEY = re.compile(r"[!-~]+")  # what may stand in a header


class Secret:
    """A key that no repr, format or log shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def hide_in(self, text: str) -> str:
        return text.replace(self._value, "•••")

    def __repr__(self) -> str:
        return "Secret(•••)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`url` is what paths are appended to: `…/api/chat`, or `…/chat/completions`."""

    url: str
    api: str  # ollama | openai
    api_key: str | None = None  # the reference
    secret: Secret | None = field(default=None, repr=False)

    @property
    def is_ollama(self) -> bool:
        return self.api == "ollama"

    @property
    def is_local(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One chat, in neither language."""

    model: str
    messages: list[dict[str, str]]
    schema: JsonObject
    temperature: float | None
    seed: int | None
    max_tokens: int
    context_tokens: int  # that prompt and reply may need; Ollama cuts prompts to its own default otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What an OpenAI-compatible server turned out to accept, found out as it refuses the better form."""

    response_format: str = "json_schema"  # json_schema | json_object | none
    limit_name: str = "max_tokens"  # or max_completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    text: str
    input_tokens: int | None  # None: the server does not tell
    output_tokens: int | None
    cut: bool  # at max_tokens
    served_by: str | None


class NotAReplyError(Exception):
    """The body has another form than the API's."""


class BrokenOffError(Exception):
    """The body begins like a reply, and ends too early."""


class ErrorInReplyError(Exception):
    """The body is, or ends in, an error object."""


def resolve_endpoint(settings: SynthSettings) -> Endpoint:
    """The endpoint that the settings mean on this machine, with the key if there is one.

    Raises EndpointError where the URL is none, or the key's variable is not set.
    """
    if settings.endpoint == "ollama":
        url = ollama_url()
    elif settings.endpoint == "openai":
        url = openai_url()
    else:
        url = settings.endpoint
    return endpoint_at(url, settings.api, settings.api_key)


def endpoint_at(url: str, api: str, api_key: str | None) -> Endpoint:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise faults.not_api(hide_user(url), "not an http or https URL", api)
    if parts.username or parts.password:
        raise faults.not_api(hide_user(url), "a URL with a name or password in it is not used", api)
    if parts.query or parts.fragment:
        raise faults.not_api(
            url.partition("#")[0].partition("?")[0], "a part behind `?` or `#` is not used", api
        )
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/models", "/api/chat", "/api/tags", "/api"):
        path = path.removesuffix(ending)
    if api == "ollama":
        path = path.removesuffix("/v1")
    elif not path:
        path = "/v1"
    return Endpoint(
        url=urlunsplit((parts.scheme, parts.netloc, path, "", "")),
        api=api,
        api_key=api_key,
        secret=None if api_key is None else read_secret(api_key),
    )


def hide_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//•••@", url)


def read_secret(reference: str) -> Secret:
    """The value that `${env:NAME}` means now. Raises EndpointError; no message holds the value."""
    match = _REFERENCE.fullmatch(reference)
    assert match, "the spec accepts references only"
    value = os.environ.get(match[1], "").strip()
    if not value:
        raise faults.key_not_set(match[1])
    if not _KEY.fullmatch(value):
        raise faults.bad_key(match[1])
    return Secret(value)


def ollama_url() -> str:
    """By OLLAMA_HOST as Ollama reads it: a host, a port, both, or a URL."""
    written = os.environ.get("OLLAMA_HOST", "").strip().rstrip("/")
    scheme, found, rest = written.partition("://")
    if not found:
        scheme, rest = "http", written
    host, path = [*rest.split("/", 1), ""][:2]
    if host.startswith("["):
        name, _, port = host.partition("]")
        name, port = name + "]", port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if name in ("", "0.0.0.0", "[::]"):  # noqa: S104 - where a server listens; a client asks localhost
        name = "127.0.0.1"
    default = {"http": 80, "https": 443}[scheme] if found and scheme in ("http", "https") else OLLAMA_PORT
    return f"{scheme}://{name}:{port or default}" + (f"/{path}" if path else "")


def openai_url() -> str:
    """By OPENAI_BASE_URL, as the libraries of OpenAI read it."""
    return os.environ.get("OPENAI_BASE_URL", "").strip() or "https://api.openai.com/v1"


# --- putting a question -----------------------------------------------------------------------


def chat_path(endpoint: Endpoint) -> str:
    return f"{endpoint.url}/api/chat" if endpoint.is_ollama else f"{endpoint.url}/chat/completions"


def models_path(endpoint: Endpoint) -> str:
    return f"{endpoint.url}/api/tags" if endpoint.is_ollama else f"{endpoint.url}/models"


def request_body(endpoint: Endpoint, question: Question, dialect: Dialect) -> bytes:
    body: JsonObject = {"model": question.model, "messages": question.messages, "stream": False}
    draws: JsonObject = {}
    if question.temperature is not None:
        draws["temperature"] = question.temperature
    if question.seed is not None:
        draws["seed"] = question.seed
    if endpoint.is_ollama:
        body["format"] = question.schema
        body["options"] = {
            **draws,
            "num_ctx": question.context_tokens,
            "num_predict": question.max_tokens,
        }
    else:
        body |= {**draws, dialect.limit_name: question.max_tokens}
        if dialect.response_format == "json_schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": question.schema},
            }
        elif dialect.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
    return json.dumps(body).encode()  # ASCII: also what no UTF-8 can hold arrives


def other_dialect(dialect: Dialect, message: str) -> Dialect | None:
    """The form to try next when a server refuses a request (400 or 422) with this message."""
    said = message.lower()
    if "max_completion_tokens" in said and dialect.limit_name == "max_tokens":
        return Dialect(response_format=dialect.response_format, limit_name="max_completion_tokens")
    if re.search(r"response_?format|json_?schema|json_?object|grammar|structured|guided", said):
        weaker = {"json_schema": "json_object", "json_object": "none"}.get(dialect.response_format)
        if weaker is not None:
            return Dialect(response_format=weaker, limit_name=dialect.limit_name)
    return None


# --- reading a reply --------------------------------------------------------------------------


def read_models(endpoint: Endpoint, body: bytes) -> tuple[str, ...]:
    """Names that the server lists. Raises NotAReplyError."""
    value = _load(body)
    items = value.get("models" if endpoint.is_ollama else "data")
    if not isinstance(items, list):
        raise NotAReplyError("not a list of models")
    name = "name" if endpoint.is_ollama else "id"
    return tuple(item[name] for item in items if isinstance(item, dict) and isinstance(item.get(name), str))


def read_reply(endpoint: Endpoint, body: bytes) -> Reply:
    """The reply in a body of status 200; also one that comes as a stream, where the server ignores that
    none was asked for. Raises ErrorInReplyError, BrokenOffError, or NotAReplyError."""
    parts = _parts(body)
    for part in parts:
        if part.get("error"):
            raise ErrorInReplyError(error_text(part) or "an error without words")
    return _ollama_reply(parts) if endpoint.is_ollama else _openai_reply(parts)


def error_text(value: Any) -> str:
    """The words of an error object, in any of its usual forms; "" where there are none."""
    if isinstance(value, str):
        return " ".join(value.split())[:400]
    if isinstance(value, dict):
        for name in ("error", "message", "detail", "msg"):
            if value.get(name):
                return error_text(value[name])
    if isinstance(value, list) and value:
        return error_text(value[0])
    return ""


def _parts(body: bytes) -> list[JsonObject]:
    """One object, or the objects of a stream: a line each (Ollama), behind `data:` (OpenAI)."""
    text = body.decode("utf-8", "replace").strip()
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        return [whole]
    if not text:
        raise BrokenOffError("an empty body")
    if not text.startswith(("{", "data:", "event:", ":")):
        raise NotAReplyError(f"no JSON but `{' '.join(text.split())[:60]}`")
    parts: list[JsonObject] = []
    for line in map(str.strip, text.split("\n")):
        data = line.removeprefix("data:").strip()
        if not data or data == "[DONE]" or line.startswith((":", "event:", "id:")):
            continue
        try:
            part = json.loads(data)
        except (ValueError, RecursionError):
            raise BrokenOffError("the reply breaks off") from None
        if not isinstance(part, dict):
            raise NotAReplyError("a stream of something else than objects")
        parts.append(part)
    return parts


def _ollama_reply(parts: list[JsonObject]) -> Reply:
    texts = []
    for part in parts:
        message = part.get("message")
        if not isinstance(message, dict):
            raise NotAReplyError("no `message` in the reply")
        texts.append(message.get("content") or "")
    last = parts[-1]
    if last.get("done") is False:
        raise BrokenOffError("the reply breaks off")
    return Reply(
        text="".join(texts),
        input_tokens=_count(last.get("prompt_eval_count")),
        output_tokens=_count(last.get("eval_count")),
        cut=last.get("done_reason") == "length",
        served_by=_name(last.get("model")),
    )


def _openai_reply(parts: list[JsonObject]) -> Reply:
    texts: list[str] = []
    usage: JsonObject = {}
    finish: Any = None
    choices_seen = False
    for part in parts:
        choices = part.get("choices")
        if not isinstance(choices, list):
            raise NotAReplyError("no `choices` in the reply")
        if isinstance(part.get("usage"), dict):
            usage = part["usage"]
        for choice in choices[:1]:
            message = choice.get("message") or choice.get("delta") if isinstance(choice, dict) else None
            if not isinstance(message, dict):
                raise NotAReplyError("no `message` in the reply")
            choices_seen = True
            texts.append(_content(message.get("content")))
            finish = choice.get("finish_reason") or finish
    if not choices_seen:
        raise NotAReplyError("`choices` is empty")
    if len(parts) > 1 and finish is None:
        raise BrokenOffError("the reply breaks off")
    return Reply(
        text="".join(texts),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cut=finish == "length",
        served_by=_name(parts[-1].get("model")),
    )


def _content(value: Any) -> str:
    if isinstance(value, list):  # parts, as some servers write
        return "".join(part.get("text") or "" for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def _load(body: bytes) -> JsonObject:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAReplyError(
            f"no JSON but `{' '.join(body.decode('utf-8', 'replace').split())[:60]}`"
        ) from None
    if not isinstance(value, dict):
        raise NotAReplyError("no JSON object")
    return value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _name(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) else None
