"""From rendered rows to tokens with their mask, exactly as every backend trains and scores them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ftspec.data.chat_template import TemplateError
from ftspec.data.llm_render import Rendered, RewritesError, render_row
from ftspec.data.llm_rows import LlmRow
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.diagnostics.code import Code
from ftspec.diagnostics.codes import CHAT_TEMPLATE_FAILED, TEMPLATE_REWRITES

_BATCH = 256  # rows that are tokenised at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """`mask[i] == 1`: token i is trained and scored, from what stands before it; `mask[0]` is always 0.

    `prompt_length`: tokens before the last completion, which it is generated from.
    """

    id: str
    input_ids: "array[int]"
    mask: bytearray
    prompt_length: int
    segments: tuple[int, ...] = ()  # starts of the rows that were packed into this one

    def as_object(self) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": self.id,
            "input_ids": self.input_ids.tolist(),
            "mask": list(self.mask),
            "prompt_length": self.prompt_length,
        }
        if self.segments:
            item["segments"] = list(self.segments)
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRefusal:
    """Why a row could not become tokens: FTS711 or FTS712."""

    row: LlmRow
    code: Code
    reason: str


def tokenize_rows(
    rows: Sequence[LlmRow], tokenizer: LlmTokenizer, *, render: tuple[str, ...], train_on: str
) -> Iterator[TokenRow | RowRefusal]:
    """Tokens of each row, in order, of whatever length; `render` says chat or text for each source."""
    for first in range(0, len(rows), _BATCH):
        made: list[Rendered | RowRefusal] = []
        for row in rows[first : first + _BATCH]:
            try:
                made.append(
                    render_row(
                        row,
                        tokenizer.template,
                        as_chat=render[row.source] == "chat",
                        train_on=train_on,
                        special_texts=tokenizer.special_texts,
                    )
                )
            except TemplateError as error:
                made.append(RowRefusal(row=row, code=CHAT_TEMPLATE_FAILED, reason=str(error)))
            except RewritesError as error:
                made.append(RowRefusal(row=row, code=TEMPLATE_REWRITES, reason=str(error)))
        encoded = iter(tokenizer.encode([item.text for item in made if isinstance(item, Rendered)]))
        for row, item in zip(rows[first : first + _BATCH], made, strict=True):
            if isinstance(item, RowRefusal):
                yield item
            else:
                ids, offsets = next(encoded)
                yield _token_row(row.id, item, ids, offsets, tokenizer, train_on)


def _token_row(
    id: str,
    rendered: Rendered,
    ids: list[int],
    offsets: Sequence[tuple[int, int]],
    tokenizer: LlmTokenizer,
    train_on: str,
) -> TokenRow:
    mask = bytearray(len(ids))
    if _fits(rendered, offsets):
        prompt_length = _first_at(offsets, rendered.turns[-1].start)
        for turn in rendered.turns:
            first, stop = _first_at(offsets, turn.start), _first_at(offsets, turn.stop)
            mask[first:stop] = b"\1" * (stop - first)
    else:
        ids, mask, prompt_length = _apart(rendered, tokenizer)
    if not rendered.ends:
        ids, mask = [*ids, tokenizer.end], mask + b"\1"
    if rendered.plain and tokenizer.leading:
        count = len(tokenizer.leading)
        ids, mask = [*tokenizer.leading, *ids], bytearray(count) + mask
        prompt_length += count
    if train_on == "all":
        mask = bytearray(b"\1" * len(ids))
    mask[0] = 0
    return TokenRow(id=id, input_ids=array("i", ids), mask=mask, prompt_length=prompt_length)


def _first_at(offsets: Sequence[tuple[int, int]], start: int) -> int:
    """The first token that begins at `start` or behind it."""
    return bisect_left(offsets, start, key=lambda place: place[0])


def _fits(rendered: Rendered, offsets: Sequence[tuple[int, int]]) -> bool:
    """True if no token lies across the beginning or the end of a turn.

    Some tokenizers leave the space before a word out of the word's place: then the text between the two
    tokens at a boundary begins before it, and the boundary does not hold.
    """
    text = rendered.text
    for boundary in {place for turn in rendered.turns for place in (turn.start, turn.end)}:
        after = _first_at(offsets, boundary)
        reached = offsets[after - 1][1] if after else 0
        if reached > boundary or text[reached:boundary]:
            return False
    return True


def _apart(rendered: Rendered, tokenizer: LlmTokenizer) -> tuple[list[int], bytearray, int]:
    """Where a token would lie across a boundary, the stretches are tokenised each for itself."""
    ids: list[int] = []
    mask = bytearray()
    place = prompt_length = 0

    def add(stop: int, trained: int) -> None:
        nonlocal place
        if stop > place:
            piece = rendered.text[place:stop]
            more = tokenizer.encode_inner(piece) if place else tokenizer.encode([piece])[0][0]
            ids.extend(more)
            mask.extend(bytes([trained]) * len(more))
            place = stop

    for turn in rendered.turns:
        add(turn.start, 0)
        prompt_length = len(ids)
        add(turn.stop, 1)
        add(turn.end, 0)
    add(len(rendered.text), 0)
    return ids, mask, prompt_length
