"""Rows as mlx computes them: batches of tokens with their targets, and the loss."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from adapters import KeyedDropout
from events import CheckFailedError
from llm_rows import TokenRow
from llm_settings import Settings
from mlx import nn

MULTIPLE = 32  # lengths are rounded up, so that few shapes are compiled


def check_tokens(rows: Sequence[TokenRow], vocabulary: int) -> None:
    """Raises CheckFailedError FTS653: mlx reads whatever lies in memory behind the last embedding."""
    for row in rows:
        if max(row.input_ids) >= vocabulary or min(row.input_ids) < 0:
            raise CheckFailedError("FTS653", f"row {row.id} has tokens beyond the {vocabulary} embeddings")


def vocabulary_of(model: Any, config: dict[str, Any]) -> int:
    """How many embeddings the model has, by its config."""
    return int(config.get("vocab_size") or model.args.vocab_size)


def apart(rows: Sequence[TokenRow]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Tokens and mask of every row. Packed rows are taken apart: models of mlx_lm attend over whole rows."""
    parts = []
    for row in rows:
        ends = (*row.segments[1:], len(row.input_ids))
        for start, end in zip(row.segments, ends, strict=True):
            if any(row.mask[start:end]):
                parts.append((row.input_ids[start:end], row.mask[start:end]))
    return parts


def arrays(rows: Sequence[TokenRow], *, limit: int | None = None) -> tuple[Any, Any]:
    """Tokens [rows, width] and mask [rows, width], filled on the right.

    With `limit` (the longest row that there can be), width - 1 is rounded up as far as that.
    """
    parts = apart(rows)
    width = max(len(tokens) for tokens, _ in parts)
    if limit is not None:
        width = max(width, min(limit, 1 + -(-(width - 1) // MULTIPLE) * MULTIPLE))

    def filled(values: Sequence[int]) -> list[int]:
        return [*values, *[0] * (width - len(values))]

    tokens = mx.array([filled(part) for part, _ in parts], dtype=mx.int32)
    return tokens, mx.array([filled(mask) for _, mask in parts], dtype=mx.float32)


def losses_of(model: Any, tokens: Any, mask: Any) -> Any:
    """Negative log likelihood of every row's targets in nats, [rows], in fp32."""
    logits = model(tokens[:, :-1]).astype(mx.float32)
    return (nn.losses.cross_entropy(logits, tokens[:, 1:]) * mask[:, 1:]).sum(axis=1)


def training_loss(model: Any, tokens: Any, mask: Any, weight: Any) -> tuple[Any, Any]:
    """What mlx_lm's trainer averages over the micro-batches of a step, and the number of targets.

    `weight` is micro-batches / targets of the whole batch: the average is nats a target over the batch.
    """
    return losses_of(model, tokens, mask).sum() * weight, mask[:, 1:].sum()


class Micro:
    """The micro-batches of a run in the planned order, as mlx_lm's trainer asks for them.

    Dropout masks depend on the seed and the number of the micro-batch alone, so that a run that goes on at
    step `first` draws what the undisturbed one drew.
    """

    def __init__(
        self,
        rows: Sequence[TokenRow],
        order: Sequence[int],
        settings: Settings,
        dropouts: Sequence[KeyedDropout],
        first: int,
    ) -> None:
        self.rows, self.order, self.settings = rows, order, settings
        self.dropouts, self.first = dropouts, first

    def __call__(self, **_: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Tokens, mask and weight of one micro-batch after the other; the trainer's options are ours."""
        machine, train = self.settings.machine, self.settings.train
        accumulated, size = machine.gradient_accumulation_steps, machine.per_device_train_batch_size
        for step in range(self.first, train.total_steps):
            batch = self.order[step * train.global_batch_size : (step + 1) * train.global_batch_size]
            targets = sum(sum(self.rows[index].mask) for index in batch)
            for part in range(accumulated):
                self._draw(step * accumulated + part)
                chosen = [self.rows[index] for index in batch[part * size : (part + 1) * size]]
                tokens, mask = arrays(chosen, limit=self.settings.model.max_seq_length)
                yield tokens, mask, mx.array(accumulated / targets)

    def _draw(self, number: int) -> None:
        if self.dropouts:
            mixed = random.Random(f"{self.settings.train.seed}:{number}").getrandbits(63)  # noqa: S311
            keys = mx.random.split(mx.random.key(mixed), len(self.dropouts))
            for dropout, own in zip(self.dropouts, keys, strict=True):
                dropout.give(own)
