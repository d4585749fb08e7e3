"""Tokenised rows as the data room writes them, and how they are put together into batches."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from events import CheckFailedError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One row. `mask[i]` 1: token i is a target, its loss is taken from the logits at i - 1."""

    id: str
    input_ids: tuple[int, ...]
    mask: tuple[int, ...]
    prompt_length: int  # tokens before the last completion
    segments: tuple[int, ...] = (0,)  # where the rows begin that are packed in this one

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.input_ids[: self.prompt_length]

    def positions(self) -> list[int]:
        """The place of each token in its own segment."""
        ends = (*self.segments[1:], len(self.input_ids))
        return [place for start, end in zip(self.segments, ends, strict=True) for place in range(end - start)]


def read_token_rows(path: Path, max_seq_length: int) -> list[TokenRow]:
    """The rows of a file in their order.

    Raises CheckFailedError FTS606 when a row is not what a tokenise stage writes: too long, nothing to
    train, or a target without anything before it.
    """
    rows = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                found = json.loads(line)
                row = TokenRow(
                    id=found["id"],
                    input_ids=tuple(found["input_ids"]),
                    mask=tuple(found["mask"]),
                    prompt_length=found["prompt_length"],
                    segments=tuple(found.get("segments") or (0,)),
                )
                _check(row, max_seq_length, path.name)
                rows.append(row)
    return rows


def _check(row: TokenRow, max_seq_length: int, name: str) -> None:
    fault = None
    if len(row.input_ids) != len(row.mask):
        fault = f"has {len(row.input_ids)} tokens and a mask of {len(row.mask)}"
    elif len(row.input_ids) > max_seq_length:
        fault = f"has {len(row.input_ids)} tokens, the limit is {max_seq_length}"
    elif not any(row.mask):
        fault = "has no token to train"
    elif any(row.mask[start] for start in row.segments):
        fault = "trains a token that nothing stands before"
    if fault:
        raise CheckFailedError("FTS606", f"row {row.id} of {name} {fault}")


def end_of_answers(rows: Sequence[TokenRow], special: Collection[int]) -> set[int]:
    """The special token with which trained answers end, that of the first row whose targets end in one: the
    answer of a row that was cut has none. White space may stand behind it."""
    for row in rows:
        targets = [token for token, target in zip(row.input_ids, row.mask, strict=True) if target]
        for token in reversed(targets[-2:]):
            if token in special:
                return {token}
    return set()


def by_length(rows: Sequence[TokenRow], size: int) -> Iterator[list[int]]:
    """Numbers of rows in batches of `size`, the longest rows first: little padding, and the most memory is
    asked for at once."""
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index].input_ids), index))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def padded(parts: Sequence[Sequence[int]], filler: int, *, left: bool = False) -> list[list[int]]:
    """All parts at the length of the longest, filled on the right, or on the left."""
    width = max(map(len, parts))
    if left:
        return [[filler] * (width - len(part)) + list(part) for part in parts]
    return [list(part) + [filler] * (width - len(part)) for part in parts]
