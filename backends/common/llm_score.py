"""Losses and greedy answers of the held-out rows by one model: the evidence of base and tuned alike."""

import time
from pathlib import Path
from typing import Any

from events import InterruptedRunError, StageEvents
from llm_follow import PROGRESS_SECONDS, write_json, write_lines
from llm_rows import TokenRow, by_length
from llm_settings import Settings
from llm_torch import greedy_answers, padding_token, row_losses, stop_tokens
from memory import peak_bytes
from ranks import Ranks
from watch import StopRequest


class Scorer:
    """Progress and requests to stop while batches go by."""

    def __init__(self, total: int, ranks: Ranks, events: StageEvents, stop: StopRequest) -> None:
        self.total = total
        self.done = 0
        self._ranks = ranks
        self._events = events
        self._stop = stop
        self._last = 0.0

    def advance(self, rows: int) -> None:
        """`rows` more are done here; the other processes are taken to be as far."""
        if self._stop.asked:
            raise InterruptedRunError
        self.done = min(self.total, self.done + rows * self._ranks.size)
        if self.done == self.total or time.monotonic() - self._last >= PROGRESS_SECONDS:
            self._last = time.monotonic()
            self._events.progress(self.done, self.total, "rows")


def score_model(
    model: Any,
    tokenizer: Any,
    rows: list[TokenRow],
    settings: Settings,
    folder: Path,
    *,
    device: str,
    began: float,
    ranks: Ranks,
    events: StageEvents,
    stop: StopRequest,
) -> None:
    """Write losses.jsonl, answers.jsonl and info.json to `folder`. The processes share the rows.

    `began`: time.perf_counter() when the stage began. `device`: where the model's inputs go.
    """
    model.eval()
    wishes = settings.score
    asked = rows[: wishes.generate_rows]
    scorer = Scorer(len(rows) + len(asked), ranks, events, stop)
    filler, stops = padding_token(tokenizer), stop_tokens(model, tokenizer, rows)
    scorer.advance(0)
    started = time.perf_counter()
    mine: dict[int, dict[str, Any]] = {}
    for numbers in _share(rows, wishes.batch_size, ranks):
        batch = [rows[number] for number in numbers]
        losses = row_losses(model, batch, filler=filler, device=device)
        for number, row, (nll, tokens) in zip(numbers, batch, losses, strict=True):
            mine[number] = {"id": row.id, "nll": nll, "tokens": tokens}
        scorer.advance(len(batch))
    seconds = time.perf_counter() - started
    tokens_here = sum(len(rows[number].input_ids) for number in mine)
    answers: dict[int, dict[str, Any]] = {}
    for numbers in _share(asked, wishes.batch_size, ranks):
        written = greedy_answers(
            model,
            [asked[number].prompt for number in numbers],
            filler=filler,
            stops=stops,
            max_new_tokens=wishes.max_new_tokens,
            device=device,
        )
        for number, ids in zip(numbers, written, strict=True):
            answers[number] = {
                "id": asked[number].id,
                "text": tokenizer.decode(ids, skip_special_tokens=True),
            }
        scorer.advance(len(numbers))
    found = ranks.gather((mine, answers, tokens_here / seconds if seconds else 0.0, _peak(settings)))
    if ranks.rank > 0:
        return
    write_lines(folder / "losses.jsonl", _in_order([part[0] for part in found]))
    write_lines(folder / "answers.jsonl", _in_order([part[1] for part in found]))
    info = {
        "seconds": round(time.perf_counter() - began, 3),
        "peak_memory_bytes": max(part[3] for part in found),
        "tokens_per_second": round(sum(part[2] for part in found), 3),
        "device": settings.machine.device,
    }
    write_json(folder / "info.json", info)


def _share(rows: list[TokenRow], size: int, ranks: Ranks) -> list[list[int]]:
    """This process' batches of row numbers; as many rows at a time as planned, and all are scored once."""
    return list(by_length(rows, size))[ranks.rank :: ranks.size]


def _in_order(parts: list[dict[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    together = {number: line for part in parts for number, line in part.items()}
    return [together[number] for number in sorted(together)]


def _peak(settings: Settings) -> int:
    return peak_bytes(settings.machine.device)
