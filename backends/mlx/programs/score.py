"""Losses and greedy answers of the held-out rows: by the base, or by what the training ships."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from adapters import load_adapter
from batches import arrays, check_tokens, losses_of, vocabulary_of
from events import InterruptedRunError, StageEvents
from llm_follow import PROGRESS_SECONDS, write_json, write_lines
from llm_rows import TokenRow, by_length, end_of_answers, read_token_rows
from llm_settings import Precision, Settings
from memory import peak_bytes, start_peak
from mlx_lm.generate import BatchGenerator
from mlx_lm.utils import load_tokenizer
from watch import StopRequest
from weights import Loaded, load, quantize, settle


class Progress:
    """Says how far a stage is, and ends it on request."""

    def __init__(self, total: int, events: StageEvents, stop: StopRequest) -> None:
        self.total, self.done = total, 0
        self._events, self._stop, self._last = events, stop, 0.0

    def check(self) -> None:
        if self._stop.asked:
            raise InterruptedRunError

    def advance(self, rows: int) -> None:
        self.check()
        self.done += rows
        if self.done == self.total or time.monotonic() - self._last >= PROGRESS_SECONDS:
            self._last = time.monotonic()
            self._events.progress(self.done, self.total, "rows")


def run_score(
    root: Path, settings: Settings, folder: Path, tuned: bool, *, events: StageEvents, stop: StopRequest
) -> None:
    """Write losses.jsonl, answers.jsonl and info.json to `folder`."""
    began = time.perf_counter()
    start_memory(settings)
    loaded = load_shipped(root, settings) if tuned else load_baseline(root, settings)
    settle(loaded.model)
    rows = read_token_rows(root / settings.data.folder / "test.jsonl", settings.model.max_seq_length)
    check_tokens(rows, vocabulary_of(loaded.model, loaded.config))
    wishes = settings.score
    asked = rows[: wishes.generate_rows]
    progress = Progress(len(rows) + len(asked), events, stop)
    progress.advance(0)
    started = time.perf_counter()
    losses = row_losses(loaded.model, rows, wishes.batch_size, progress)
    seconds = time.perf_counter() - started
    write_lines(
        folder / "losses.jsonl",
        [{"id": row.id, "nll": nll, "tokens": sum(row.mask)} for row, nll in zip(rows, losses, strict=True)],
    )
    tokenizer: Any = load_tokenizer(root / settings.model.folder, {"trust_remote_code": False})
    stops = stop_tokens(root / settings.model.folder, loaded.config, tokenizer, rows)
    answers = greedy_answers(loaded.model, [row.prompt for row in asked], stops, settings, progress)
    write_lines(
        folder / "answers.jsonl",
        [
            {"id": row.id, "text": tokenizer.decode(tokens, skip_special_tokens=True)}
            for row, tokens in zip(asked, answers, strict=True)
        ],
    )
    write_json(
        folder / "info.json",
        {
            "seconds": round(time.perf_counter() - began, 3),
            "peak_memory_bytes": peak_memory(settings),
            "tokens_per_second": round(sum(len(row.input_ids) for row in rows) / seconds, 3),
            "device": settings.machine.device,
        },
    )


def load_base(root: Path, settings: Settings, precision: Precision | None = None) -> Loaded:
    """The base as it was given, not quantised."""
    wishes = settings.model
    positions = wishes.max_seq_length + settings.score.max_new_tokens
    return load(
        root / wishes.folder,
        precision or settings.machine.precision,
        positions=positions,
        keeps_window=wishes.keeps_window,
    )


def load_baseline(root: Path, settings: Settings) -> Loaded:
    """What the tuned model has to beat: the base in the form in which the tuned one is shipped."""
    loaded, bits = load_base(root, settings), settings.model.quantization_bits
    if settings.scores_quantized and bits is not None:
        quantize(loaded, bits)
    return loaded


def load_shipped(root: Path, settings: Settings, trained: Path | None = None) -> Loaded:
    """The trained model: merged, or the base with its adapter, quantised as it was trained."""
    trained = trained or root / "out" / "train"
    if settings.ships_model:
        positions = settings.model.max_seq_length + settings.score.max_new_tokens
        return load(
            trained / "model",
            settings.machine.precision,
            positions=positions,
            keeps_window=settings.model.keeps_window,
        )
    loaded = load_baseline(root, settings)
    load_adapter(loaded.model, trained / "adapter")
    return loaded


def row_losses(
    model: Any, rows: Sequence[TokenRow], batch_size: int, progress: Progress | None = None
) -> list[float]:
    """Nats of every row's targets, summed, in the order of `rows`."""
    found = [0.0] * len(rows)
    for numbers in by_length(rows, batch_size):
        values = losses_of(model, *arrays([rows[number] for number in numbers])).tolist()
        for number, value in zip(numbers, values, strict=True):
            found[number] = value
        if progress:
            progress.advance(len(numbers))
    return found


def greedy_answers(
    model: Any,
    prompts: Sequence[Sequence[int]],
    stops: Sequence[int],
    settings: Settings,
    progress: Progress,
) -> list[list[int]]:
    """The most probable next tokens of each prompt, up to the first of `stops`, which is left away."""
    answers: list[list[int]] = []
    size = settings.score.batch_size
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        generator = BatchGenerator(
            model,
            stop_tokens=[[token] for token in stops],
            completion_batch_size=size,
            prefill_batch_size=size,
        )
        numbers = generator.insert(
            [list(prompt) for prompt in part], [settings.score.max_new_tokens] * len(part)
        )
        written: dict[int, list[int]] = {number: [] for number in numbers}
        while responses := generator.next_generated():
            progress.check()
            for response in responses:
                if response.finish_reason != "stop":
                    written[response.uid].append(response.token)
        generator.close()
        answers += [written[number] for number in numbers]
        progress.advance(len(part))
    return answers


def stop_tokens(
    base: Path, config: dict[str, Any], tokenizer: Any, rows: Sequence[TokenRow]
) -> tuple[int, ...]:
    """Tokens that end an answer: those of the generation config (or config.json), the tokenizer's, and the
    special token with which trained answers end (a chat model's end of turn is not always its end of text)."""
    path = base / "generation_config.json"
    generation = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = set()
    for value in (generation.get("eos_token_id", config.get("eos_token_id")), tokenizer.eos_token_id):
        found |= {value} if isinstance(value, int) else set(value or ())
    return tuple(sorted(found | end_of_answers(rows, set(tokenizer.all_special_ids))))


def start_memory(settings: Settings) -> None:
    """Let go of what earlier stages left, and count from here."""
    mx.clear_cache()
    start_peak("cpu")
    if settings.machine.device == "mps":
        mx.reset_peak_memory()


def peak_memory(settings: Settings) -> int:
    """On Metal what mlx held at most, else the resident set's high-water mark."""
    return int(mx.get_peak_memory()) if settings.machine.device == "mps" else peak_bytes("cpu")
