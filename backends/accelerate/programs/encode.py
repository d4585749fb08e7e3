"""Embeddings of the held-out queries and documents, for the evidence: fp32, from a fresh load."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import checks
import numpy as np
import torch
from data import read_rows
from events import InterruptedRunError, StageEvents
from memory import peak_bytes, start_peak
from models import load_model
from settings import Settings
from watch import StopRequest

WARM_UP = 5  # queries encoded before latency is measured
PROGRESS_SECONDS = 0.5
QUERY_PROMPTS, DOCUMENT_PROMPTS = ("query",), ("document", "passage", "corpus")  # as the plan reads them
SAMPLE = 1024  # documents whose mean cosine goes into info.json


def run_encode(
    root: Path,
    settings: Settings,
    folder: Path,
    model_folder: Path | None,
    *,
    events: StageEvents,
    stop: StopRequest,
) -> None:
    """Fill `folder` from data/test. `model_folder` None: the base model, or the baseline if there is one."""
    began = time.perf_counter()
    device = settings.machine.device
    start_peak(device)
    model, prompts = _load(root, settings, model_folder)
    test = root / settings.data.folder / "test"
    queries = [row["text"] for row in read_rows(test / "queries.jsonl")]
    documents = [row["text"] for row in read_rows(test / "corpus.jsonl")]
    total = len(queries) + len(documents)
    normalize = settings.model.similarity == "cosine"
    batch = settings.encode.batch_size
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        if stop.asked:
            raise InterruptedRunError
        if done == total or time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            events.progress(done, total, "texts")

    report(0)
    by_query = encode_texts(model, queries, prompts[0], batch_size=batch, normalize=normalize, report=report)
    by_document = encode_texts(
        model,
        documents,
        prompts[1],
        batch_size=batch,
        normalize=normalize,
        report=lambda done: report(len(queries) + done),
    )
    np.save(folder / "queries.npy", by_query)
    np.save(folder / "corpus.npy", by_document)
    latency = measure_latency(model, queries[: settings.encode.latency_queries], prompts[0], normalize)
    write_json(
        folder / "latency.json",
        {"latency_ms": latency, "device": device, "threads": torch.get_num_threads()},
    )
    write_json(
        folder / "info.json",
        {
            "seconds": round(time.perf_counter() - began, 3),
            "peak_memory_bytes": peak_bytes(device),
            "precision": "fp32",
            "mean_cosine": checks.mean_cosine(by_document[:SAMPLE]),
        },
    )


def _load(root: Path, settings: Settings, model_folder: Path | None) -> tuple[Any, tuple[str, str]]:
    """The model with its query and document prompts."""
    device, wishes = settings.machine.device, settings.model
    baseline = settings.encode.baseline_folder
    if model_folder is None and baseline is not None:
        model = load_model(root / baseline, None, device=device, trust_remote_code=wishes.trust_remote_code)
        return model, (own_prompt(model, QUERY_PROMPTS), own_prompt(model, DOCUMENT_PROMPTS))
    model = load_model(model_folder or root / wishes.folder, wishes, device=device)
    return model, (wishes.prompts.query, wishes.prompts.document)


def own_prompt(model: Any, names: Sequence[str]) -> str:
    """The first prompt under one of the names that models use for a side; a baseline without its own
    prompt would be beaten too easily."""
    return next((str(model.prompts[name]) for name in names if model.prompts.get(name)), "")


def encode_texts(
    model: Any,
    texts: Sequence[str],
    prompt: str,
    *,
    batch_size: int,
    normalize: bool,
    report: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """[n, width] float32 in the order of `texts`; batches hold texts of similar length."""
    order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
    parts = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        parts.append(_encode_batch(model, [texts[index] for index in chosen], prompt, normalize))
        report(start + len(chosen))
    width = model.get_embedding_dimension()
    out = np.empty((len(texts), width), dtype=np.float32)
    if parts:
        out[order] = np.concatenate(parts)
    return out


def _encode_batch(model: Any, texts: Sequence[str], prompt: str, normalize: bool) -> np.ndarray:
    embeddings: np.ndarray = model.encode(
        list(texts),
        prompt=prompt,
        batch_size=len(texts),
        show_progress_bar=False,
        normalize_embeddings=normalize,
    )
    return embeddings.astype(np.float32, copy=False)


def measure_latency(model: Any, queries: Sequence[str], prompt: str, normalize: bool) -> list[float]:
    """Milliseconds from text to embedding on this machine, one query at a time, after a warm-up."""
    for query in queries[:WARM_UP]:
        _encode_batch(model, [query], prompt, normalize)
    times = []
    for query in queries:
        began = time.perf_counter()
        _encode_batch(model, [query], prompt, normalize)
        times.append(round((time.perf_counter() - began) * 1000, 4))
    return times


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
