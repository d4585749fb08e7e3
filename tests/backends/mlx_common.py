"""Runs of the mlx programs in this process, and what transformers says of their models."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.backends.llm_common import STAGES, backend_programs

Load = Callable[[str], Any]


@contextlib.contextmanager
def mlx_programs() -> Iterator[Load]:
    """As backend_programs, and steps are not compiled: that takes longer than running a tiny model."""
    import mlx.core as mx

    mx.disable_compile()
    with backend_programs("mlx") as importer:
        yield importer
    mx.enable_compile()


def settings_of(load: Load, folder: Path) -> Any:
    return load("llm_settings").read_settings(folder / "config.json")


def run(load: Load, folder: Path, *stages: str, stop_at: int | None = None) -> Path:
    """The stages in this process; the folder. `stop_at`: ask to stop when this step is logged."""
    events, stop = load("events"), SimpleNamespace(asked=False)

    class Watched(events.StageEvents):  # type: ignore[misc, name-defined]
        def emit(self, event: str, **values: Any) -> None:
            super().emit(event, **values)
            stop.asked = stop.asked or (event == "log" and values["step"] == stop_at)

    settings = settings_of(load, folder)
    with events.Events(folder / "events.jsonl") as stream:
        for stage in stages or STAGES:
            partial = folder / "out" / f"{stage}.partial"
            partial.mkdir(parents=True, exist_ok=True)
            load("main").ROOT = folder
            load("main").work(stage, settings, stop)(partial, Watched(stream, stage))
            partial.rename(partial.with_name(stage))
    return folder


def tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(path)
    return found


def logits_of_transformers(folder: Path, rows: list[dict[str, Any]]) -> list[np.ndarray]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    with torch.no_grad():
        return [model(torch.tensor([row["input_ids"]])).logits[0].numpy() for row in rows]


def nll(logits: np.ndarray, row: dict[str, Any]) -> float:
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    targets = [place for place, trained in enumerate(row["mask"]) if trained]
    return -float(sum(logs[place - 1, row["input_ids"][place]] for place in targets))
