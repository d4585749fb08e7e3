"""Losses and answers of the held-out rows: by the base, or by what was trained, at the same precision."""

import time
from pathlib import Path

from events import CheckFailedError, StageEvents
from llm_rows import read_token_rows
from llm_score import score_model
from llm_settings import Settings
from llm_torch import check_device
from memory import start_peak
from models import load_adapter, load_model, load_tokenizer, place
from ranks import Ranks
from watch import StopRequest


def run_score(
    root: Path,
    settings: Settings,
    folder: Path,
    trained: Path | None,
    *,
    events: StageEvents,
    stop: StopRequest,
) -> None:
    """Fill `folder` from data/test.jsonl. `trained`: output of the train stage; None: the base model."""
    began = time.perf_counter()
    check_device(settings.machine.device)
    start_peak(settings.machine.device)
    rows = read_token_rows(root / settings.data.folder / "test.jsonl", settings.model.max_seq_length)
    base, device = root / settings.model.folder, place(settings.machine.device)
    source = base
    if trained is not None and settings.ships_model:
        source = trained / "model"
        if not source.is_dir():
            raise CheckFailedError("FTS606", "the train stage left no model to score")
    model = load_model(
        source,
        settings,
        dtype=settings.machine.precision,
        quantized=settings.scores_quantized,
        device=device,
    )
    if trained is not None and not settings.ships_model:
        model = load_adapter(model, trained / "adapter")
    score_model(
        model,
        load_tokenizer(base, settings),
        rows,
        settings,
        folder,
        device=device,
        began=began,
        ranks=Ranks.here(),
        events=events,
        stop=stop,
    )
