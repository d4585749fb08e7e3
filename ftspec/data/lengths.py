"""Lengths of texts in tokens, and what batches of them are padded to."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from ftspec.data.rows import order_hash
from ftspec.plan.facts import TextLengths

MAX_TEXTS = 2_000  # per column, drawn by hash


def text_lengths(
    tokenizer_json: Path, texts: Iterable[str], *, max_seq_length: int, batch_size: int, seed: int
) -> TextLengths:
    """Count tokens, special tokens included, without truncation; all zero where there is no text.

    `padded_mean` is the mean over full batches, in hash order, of the longest text of the batch, cut
    at `max_seq_length`; fewer texts than one batch count as one. Raises ValueError for a file that is
    no tokenizer.
    """
    drawn = sorted(set(texts), key=lambda text: order_hash(seed, "lengths", text))[:MAX_TEXTS]
    counts = _count_tokens(tokenizer_json, drawn) if drawn else []
    return length_facts(counts, max_seq_length=max_seq_length, batch_size=batch_size)


def length_facts(counts: Sequence[int], *, max_seq_length: int, batch_size: int) -> TextLengths:
    """Of lengths in a random order, on which `padded_mean` depends alone; all zero without any."""
    if not counts:
        return TextLengths(count=0, mean=0.0, p50=0, p95=0, max=0, share_above_limit=0.0, padded_mean=0.0)
    ranked = sorted(counts)
    cut = [min(count, max_seq_length) for count in counts]
    full = len(cut) // batch_size or 1
    longest = [max(cut[n * batch_size : (n + 1) * batch_size]) for n in range(full)]
    return TextLengths(
        count=len(counts),
        mean=round(sum(counts) / len(counts), 3),
        p50=_nearest_rank(ranked, 0.5),
        p95=_nearest_rank(ranked, 0.95),
        max=ranked[-1],
        share_above_limit=round(sum(count > max_seq_length for count in counts) / len(counts), 6),
        padded_mean=round(sum(longest) / len(longest), 3),
    )


def _nearest_rank(ranked: list[int], share: float) -> int:
    return ranked[math.ceil(share * len(ranked)) - 1]


def _count_tokens(tokenizer_json: Path, texts: list[str]) -> list[int]:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:  # the library raises bare Exception for a bad file
        raise ValueError(f"{tokenizer_json}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(encoding) for encoding in tokenizer.encode_batch_fast(texts)]
