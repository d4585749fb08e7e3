"""Control tokens of the base in the texts of rows. A tokenizer reads them as what they stand for, so that a text
can end its own turn or begin another; only the chat template should write them."""

import json
import re
from collections.abc import Iterator, Sequence

from ftspec.data.llm_rows import LlmRow


class ControlTexts:
    def __init__(self, special_texts: Sequence[str]) -> None:
        """`special_texts`: the control tokens, longest first."""
        self._pattern = re.compile("|".join(map(re.escape, special_texts))) if special_texts else None

    def first(self, row: LlmRow, *, as_chat: bool) -> str:
        """Which token stands first, and where, for people; empty if there is none.

        Prompts and completions that no template renders are written as they are meant, control tokens too;
        RAFT rows are made of documents and questions, and never mean them.
        """
        if self._pattern is None or (not as_chat and row.raft is None):
            return ""
        for place, text in _texts(row):
            match = self._pattern.search(text)
            if match is not None:
                return f"`{match[0]}` in {place}"
        return ""


def _texts(row: LlmRow) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(row.messages):
        for key, value in message.items():
            if key != "role":
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                yield f"`messages[{number}].{key}`", text
    if row.tools is not None:
        yield "`tools`", json.dumps(row.tools, ensure_ascii=False)
    if row.raft is not None:
        yield "its question", row.raft.question
        for document in row.raft.documents:
            yield f"document `{document.id}`", document.text
        yield "its answer", row.completion
    elif not row.messages:
        yield "its prompt", row.prompt
        yield "its completion", row.completion
