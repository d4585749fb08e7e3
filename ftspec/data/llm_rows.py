"""The shape that every text source is read into: `LlmRow`, and its form as one line of JSON."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ftspec.data.rows import normalise

Message = Mapping[str, Any]  # role, content and what else the template of the base may read; plain JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftDocument:
    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftContext:
    """What a RAFT row shows: `documents` in the order of the prompt, with the oracle if `present`."""

    question: str
    oracle_id: str
    oracle: str
    documents: tuple[RaftDocument, ...]
    present: bool
    refuse: bool  # the trained answer is a refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmRow:
    """Chat rows have `messages`, the last of them from the assistant; the others prompt and completion."""

    id: str
    messages: tuple[Message, ...] = ()
    tools: tuple[Any, ...] | None = None
    prompt: str = ""
    completion: str = ""
    answers: tuple[str, ...] = ()  # what a generated answer is compared with
    raft: RaftContext | None = None
    group: str | None = None
    slices: tuple[tuple[str, str], ...] = ()
    source: int = 0  # position of its source in the request
    line: int = 0  # of the file it was read from, for messages

    @property
    def prompt_key(self) -> str:
        """Rows with equal keys ask the same: the question of a RAFT row, not the documents beside it."""
        if self.raft is not None:
            return _plain_key(self.raft.question)
        if self.messages:
            return history_keys(self.messages)[-1]
        return _plain_key(self.prompt)

    @property
    def asked_keys(self) -> tuple[str, ...]:
        """Keys of everything that an assistant answers in this row; the last is `prompt_key`."""
        return history_keys(self.messages) if self.messages else (self.prompt_key,)

    @property
    def document_key(self) -> str | None:
        return None if self.raft is None else _hash("document " + normalise(self.raft.oracle))

    @property
    def answer_text(self) -> str:
        """What the last turn says, for draws and for telling rows apart."""
        if not self.messages:
            return self.completion
        return _message_text(self.messages[-1])

    def asked_text(self, key: str) -> str:
        """For people: what is asked under one of `asked_keys`."""
        if self.raft is not None:
            return self.raft.question
        if not self.messages:
            return self.prompt
        answered = [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]
        return str(self.messages[answered[self.asked_keys.index(key)] - 1].get("content") or "")

    @property
    def content_key(self) -> str:
        """Rows with equal keys are duplicates."""
        tools = json.dumps(self.tools, sort_keys=True) if self.tools else ""
        document = self.document_key or ""
        return _hash("\0".join((self.prompt_key, document, normalise(self.answer_text), tools)))


def history_keys(messages: tuple[Message, ...]) -> tuple[str, ...]:
    """For each turn of the assistant, the key of all that stands before it.

    A history of one user message has the key of a plain prompt with the same text.
    """
    keys: list[str] = []
    chain = ""
    plain: str | None = None
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            keys.append(plain if number == 1 and plain is not None else _hash("chat " + chain))
        text = normalise(_message_text(message))
        plain = _plain_key(text) if number == 0 and message["role"] == "user" else None
        chain = _hash(f"{chain}\0{message['role']}\0{text}")
    return tuple(keys)


def _message_text(message: Message) -> str:
    calls = message.get("tool_calls")
    text = str(message.get("content") or "")
    return text + "\0" + json.dumps(calls, sort_keys=True, ensure_ascii=False) if calls else text


def _plain_key(text: str) -> str:
    return _hash("prompt " + normalise(text))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_object(row: LlmRow) -> dict[str, Any]:
    """A row as JSON; keys are absent where there is nothing to say."""
    item: dict[str, Any] = {"id": row.id, "source": row.source, "line": row.line}
    if row.messages:
        item["messages"] = [dict(message) for message in row.messages]
        if row.tools is not None:
            item["tools"] = list(row.tools)
    else:
        item["prompt"], item["completion"] = row.prompt, row.completion
    if row.answers:
        item["answers"] = list(row.answers)
    if row.raft is not None:
        item["raft"] = asdict(row.raft)
    if row.group is not None:
        item["group"] = row.group
    if row.slices:
        item["slices"] = dict(row.slices)
    return item


def row_from_object(item: dict[str, Any]) -> LlmRow:
    """The inverse of `row_object`. Raises KeyError or TypeError for another shape."""
    raft = item.get("raft")
    return LlmRow(
        id=item["id"],
        messages=tuple(item.get("messages", ())),
        tools=tuple(item["tools"]) if "tools" in item else None,
        prompt=item.get("prompt", ""),
        completion=item.get("completion", ""),
        answers=tuple(item.get("answers", ())),
        raft=None
        if raft is None
        else RaftContext(
            **{**raft, "documents": tuple(RaftDocument(**document) for document in raft["documents"])}
        ),
        group=item.get("group"),
        slices=tuple(sorted(item.get("slices", {}).items())),
        source=item["source"],
        line=item["line"],
    )
