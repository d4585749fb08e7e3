"""Sources of text: chat rows, and prompts with completions. RAFT has its own (`raft_source`)."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ftspec.data.cells import RowError, check_columns, list_of, slices_of, text_of, texts_of, word_of
from ftspec.data.llm_rows import LlmRow, Message
from ftspec.data.paths import require, resolve_path
from ftspec.data.rows import RowFault, SourceFile, text_id
from ftspec.data.table_files import Record, format_of, read_records, table_columns
from ftspec.plan.llm_data import LlmSource

ROLES = ("system", "user", "assistant", "tool")
_LOOK_AHEAD = 100  # records whose keys are taken for the columns of a JSONL file
_OPTIONAL = ("tools",)  # a column that may be missing from all of them


class TextSource(Protocol):
    """An opened source. `rows` may raise FtspecError when the source as a whole cannot be read."""

    @property
    def label(self) -> str: ...

    @property
    def files(self) -> tuple[SourceFile, ...]: ...

    @property
    def settings(self) -> dict[str, object]:
        """What besides the files' content decides the rows; plain JSON values."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Sorted names of all columns of the table, read or not; empty for what is no table."""
        ...

    def rows(self) -> Iterator[LlmRow | RowFault]: ...

    def synthetic_digest(self) -> str | None:
        """Of what a model wrote for this source; None where nothing is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """Rows of one table file: `type` chat or completion."""

    type: str
    label: str
    path: Path
    format: str
    roles: Mapping[str, str]
    slices: tuple[str, ...]
    index: int

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (SourceFile(name=self.path.name, path=self.path),)

    @property
    def settings(self) -> dict[str, object]:
        return {"type": self.type, "format": self.format, "roles": dict(sorted(self.roles.items()))}

    def columns(self) -> tuple[str, ...]:
        return table_columns(self.path, self.format)

    def synthetic_digest(self) -> None:
        return None

    def rows(self) -> Iterator[LlmRow | RowFault]:
        """Raises FtspecError: FTS701 for an unreadable file, FTS704 for a column that is nowhere."""
        ids: set[str] = set()
        read = self._chat if self.type == "chat" else self._completion
        wanted = [item for item in self.roles.items() if item[0] not in _OPTIONAL]
        for record in checked_records(self.path, self.format, wanted, self.label):
            try:
                if isinstance(record.value, str):
                    raise RowError(record.value)
                yield read(record.value, record.line, ids)
            except RowError as fault:
                yield RowFault(file=self.label, line=record.line, reason=str(fault), excerpt=record.excerpt)

    def _chat(self, record: dict[str, Any], line: int, ids: set[str]) -> LlmRow:
        column = self.roles["messages"]
        messages = check_messages(list_of(record, column), column)
        tools = None
        if "tools" in self.roles and record.get(self.roles["tools"]) is not None:
            tools = tuple(_tools(list_of(record, self.roles["tools"]), self.roles["tools"])) or None
        group = self._group(record)
        last = messages[-1]
        spoken = str(last.get("content") or "").strip()
        return LlmRow(
            id=self._id(record, ids),
            messages=messages,
            tools=tools,
            answers=self._answers(record, spoken if not last.get("tool_calls") else ""),
            group=group,
            slices=grouped_slices(record, self.slices, group),
            source=self.index,
            line=line,
        )

    def _completion(self, record: dict[str, Any], line: int, ids: set[str]) -> LlmRow:
        completion = text_of(record, self.roles["completion"])
        group = self._group(record)
        return LlmRow(
            id=self._id(record, ids),
            prompt=text_of(record, self.roles["prompt"]),
            completion=completion,
            answers=self._answers(record, completion.strip()),
            group=group,
            slices=grouped_slices(record, self.slices, group),
            source=self.index,
            line=line,
        )

    def _answers(self, record: dict[str, Any], written: str) -> tuple[str, ...]:
        """Of the column, else the text that is trained itself."""
        if "answers" in self.roles:
            return texts_of(record, self.roles["answers"], empty=True)
        return (written,) if written else ()

    def _group(self, record: dict[str, Any]) -> str | None:
        return word_of(record, self.roles["group"]) if "group" in self.roles else None

    def _id(self, record: dict[str, Any], ids: set[str]) -> str:
        """Given, or "" for one by content, which `collect` fills in."""
        if "id" not in self.roles:
            return ""
        return unique(word_of(record, self.roles["id"]), ids)


def open_table_text(plan: LlmSource, folder: Path, index: int, slices: tuple[str, ...]) -> TableText:
    """Find the file; no row is read. Raises FtspecError (FTS701)."""
    assert plan.type in ("chat", "completion"), plan.type
    path = resolve_path(plan.path, folder)
    require(path, plan.path, folder=False)
    return TableText(
        type=plan.type,
        label=plan.path,
        path=path,
        format=format_of(path, plan.format),
        roles=plan.roles,
        slices=tuple(name for name in slices if name != "group"),
        index=index,
    )


def checked_records(
    path: Path, format: str, wanted: list[tuple[str, str]], label: str, about: tuple[str, ...] = ("roles",)
) -> Iterator[Record]:
    """All records, after the columns were looked for in the first hundred. Raises FtspecError."""
    records = read_records(path, format)
    first = list(itertools.islice(records, _LOOK_AHEAD))
    check_columns(first, wanted, label, about)
    yield from first
    yield from records


def unique(id: str, ids: set[str]) -> str:
    if id in ids:
        raise RowError(f"the id `{id}` stands twice")
    ids.add(id)
    return id


def grouped_slices(
    record: dict[str, Any], names: tuple[str, ...], group: str | None
) -> tuple[tuple[str, str], ...]:
    """The named columns, and the group: results are sliced by it too."""
    found = slices_of(record, names)
    return tuple(sorted([*found, ("group", group)] if group is not None else found))


def content_id(row: LlmRow) -> str:
    return text_id("r", row.content_key)


def check_messages(value: list[Any], column: str) -> tuple[Message, ...]:
    """The messages without keys that are null. Raises RowError, which says which message is at fault."""
    messages: list[Message] = []
    for number, item in enumerate(value):
        place = f"`{column}[{number}]`"
        if not isinstance(item, dict):
            raise RowError(f"{place} is not an object with `role` and `content`")
        message = {str(key): part for key, part in item.items() if part is not None}
        role = message.get("role")
        if role not in ROLES:
            said = "has no `role`" if role is None else f"has the role `{role}`"
            raise RowError(f"{place} {said}; known are {', '.join(ROLES)}")
        _check_content(message, place)
        messages.append(message)
    if not messages:
        raise RowError(f"`{column}` is an empty list")
    if messages[-1]["role"] != "assistant":
        raise RowError(f"the last message is from `{messages[-1]['role']}`, not from `assistant`")
    if messages[0]["role"] == "assistant":
        raise RowError("the first message is from `assistant`: there is nothing that it answers")
    return tuple(messages)


def _check_content(message: Message, place: str) -> None:
    calls, content = message.get("tool_calls"), message.get("content")
    if calls is not None and (
        message["role"] != "assistant" or not isinstance(calls, list) or not all(map(_is_object, calls))
    ):
        raise RowError(f"{place}.tool_calls is no list of objects in a message of the assistant")
    if content is not None and not isinstance(content, str):
        raise RowError(f"{place}.content is not text (parts, such as images, are not read)")
    if message["role"] in ("system", "tool"):
        if content is None:
            raise RowError(f"{place} has no `content`")
    elif not (content or "").strip() and not calls:
        raise RowError(f"{place} is empty: `content` holds no text")


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _tools(value: list[Any], column: str) -> list[Any]:
    if not all(map(_is_object, value)):
        raise RowError(f"`{column}` is no list of tool schemas (objects)")
    return value
