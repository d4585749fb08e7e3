"""Batches, losses, greedy answers and logits of a causal language model in torch.

Nothing here trains. All of it works on a transformers model, with or without a peft adapter.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import parity
import torch
from events import CheckFailedError
from llm_rows import TokenRow, end_of_answers, padded
from torch import Tensor, nn
from torch.nn import functional

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
IGNORED = -100  # the label of a token that is no target
CHUNK = 256  # positions whose logits are in fp32 at once


def check_device(device: str) -> None:
    """Raises CheckFailedError FTS606 when the planned kind of device is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise CheckFailedError("FTS606", f"planned is {device}, and torch finds no such device here")


def training_batch(
    rows: Sequence[TokenRow], *, filler: int, packing: bool, flatten: bool = False
) -> dict[str, Tensor]:
    """input_ids and labels, [rows, longest], and what keeps tokens apart.

    Without packing an attention mask. With packing positions that start again in each segment, and no
    mask: transformers then lets tokens see their own segment alone, if it is called with use_cache=False
    (with a cache it does not look at positions). `flatten`: one long row of all of
    them, as flash attention wants it; padding would be a segment to it.
    """
    if flatten:
        rows = [_joined(rows)]
    batch = {
        "input_ids": torch.tensor(padded([row.input_ids for row in rows], filler)),
        "labels": torch.tensor(padded([_labels(row) for row in rows], IGNORED)),
    }
    if packing or flatten:
        width = batch["input_ids"].shape[1]
        positions = [
            [*row.positions(), *range(width - len(row.input_ids))] for row in rows
        ]  # padding is a segment of its own, which nobody looks at
        batch["position_ids"] = torch.tensor(positions)
    else:
        batch["attention_mask"] = torch.tensor(padded([[1] * len(row.input_ids) for row in rows], 0))
    return batch


def _labels(row: TokenRow) -> list[int]:
    return [token if trained else IGNORED for token, trained in zip(row.input_ids, row.mask, strict=True)]


def _joined(rows: Sequence[TokenRow]) -> TokenRow:
    segments, start = [], 0
    for row in rows:
        segments += [start + place for place in row.segments]
        start += len(row.input_ids)
    return TokenRow(
        id=rows[0].id,
        input_ids=tuple(token for row in rows for token in row.input_ids),
        mask=tuple(value for row in rows for value in row.mask),
        prompt_length=rows[0].prompt_length,
        segments=tuple(segments),
    )


@torch.no_grad()
def row_losses(model: Any, rows: Sequence[TokenRow], *, filler: int, device: str) -> list[tuple[float, int]]:
    """For each row: the sum of the negative log-likelihoods of its targets in nats, and their number.

    Logits are asked for from the first target on, and turned into fp32 CHUNK positions at a time.
    """
    logits, first = _logits_from_first_target(model, rows, filler=filler, device=device)
    found = []
    for index, row in enumerate(rows):
        targets = [place for place, trained in enumerate(row.mask) if trained]
        total = 0.0
        for start in range(0, len(targets), CHUNK):
            part = targets[start : start + CHUNK]
            scores = logits[index, torch.tensor(part, device=logits.device) - 1 - first].float()
            wanted = torch.tensor([row.input_ids[place] for place in part], device=logits.device)
            total += float(functional.cross_entropy(scores, wanted, reduction="none").cpu().double().sum())
        found.append((total, len(targets)))
    return found


def _logits_from_first_target(
    model: Any, rows: Sequence[TokenRow], *, filler: int, device: str
) -> tuple[Tensor, int]:
    """([rows, longest - first, vocabulary], first): logits from the one that predicts the first target."""
    first = min(row.mask.index(1) for row in rows) - 1
    ids = torch.tensor(padded([row.input_ids for row in rows], filler), device=device)
    mask = torch.tensor(padded([[1] * len(row.input_ids) for row in rows], 0), device=device)
    options = {"logits_to_keep": ids.shape[1] - first} if _accepts(model, "logits_to_keep") else {}
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **options).logits
    return (logits if options else logits[:, first:]), first


def _accepts(model: Any, option: str) -> bool:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return option in inspect.signature(inner.forward).parameters


@torch.no_grad()
def greedy_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    filler: int,
    stops: Sequence[int],
    max_new_tokens: int,
    device: str,
) -> list[list[int]]:
    """The most probable next tokens of each prompt, up to the first of `stops`, which is left away."""
    from transformers import GenerationConfig

    ids = torch.tensor(padded(prompts, filler, left=True), device=device)
    mask = torch.tensor(padded([[1] * len(prompt) for prompt in prompts], 0, left=True), device=device)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config: Any = GenerationConfig
    inner.generation_config = config(  # the model's own may sample or punish repetition
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(stops) or None,
        pad_token_id=filler,
        use_cache=True,
    )
    written = model.generate(input_ids=ids, attention_mask=mask)[:, ids.shape[1] :].tolist()
    answers = []
    for tokens in written:
        ends = [place for place, token in enumerate(tokens) if token in stops]
        answers.append(tokens[: ends[0]] if ends else tokens)
    return answers


def stop_tokens(model: Any, tokenizer: Any, rows: Sequence[TokenRow]) -> tuple[int, ...]:
    """Tokens that end an answer: those of the model's generation config, the tokenizer's, and the special
    token with which trained answers end (a chat model's end of turn is not always its end of text)."""
    found = set()
    for value in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        found |= {value} if isinstance(value, int) else set(value or ())
    return tuple(sorted(found | end_of_answers(rows, set(tokenizer.all_special_ids))))


def padding_token(tokenizer: Any) -> int:
    """Any token will do where a mask hides it."""
    value = tokenizer.pad_token_id
    return int(value if value is not None else tokenizer.eos_token_id or 0)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(total, trainable); a 4-bit weight holds two parameters a byte."""
    total = trainable = 0
    for item in model.parameters():
        packed = item.__class__.__name__ == "Params4bit" and item.element_size() == 1
        size = item.numel() * (2 if packed else 1)
        total += size
        trainable += size if item.requires_grad else 0
    return total, trainable


def check_trainable(model: nn.Module, planned: int) -> tuple[int, int]:
    """(total, trainable). Raises CheckFailedError FTS652 where another number than planned would be trained."""
    total, trainable = count_parameters(model)
    if trainable != planned:
        raise CheckFailedError(
            "FTS652", f"{trainable:,} of {total:,} parameters are trainable, planned are {planned:,}"
        )
    return total, trainable


@torch.no_grad()
def sample_logits(model: Any, rows: Sequence[TokenRow], *, filler: int, device: str) -> np.ndarray:
    """[positions, vocabulary] in fp32: what predicts the first targets of the first rows, for `parity`."""
    parts = []
    for row in rows[: parity.ROWS]:
        logits, first = _logits_from_first_target(model, [row], filler=filler, device=device)
        targets = [place for place, trained in enumerate(row.mask) if trained][: parity.POSITIONS]
        places = torch.tensor(targets, device=logits.device) - 1 - first
        parts.append(logits[0, places].float().cpu().numpy())
    return np.concatenate(parts)
