"""What a run needs to go on after it was stopped, and the checkpoints that hold it.

A checkpoint is complete when its marker file is there, which is written last: a run that was killed
while it saved leaves one without, and the next run goes back to the one before.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from events import StageEvents
from safetensors.torch import load_model, save_model
from torch import nn

# Half of the time of writing an optimizer went into a checksum; a half-written checkpoint is known by
# its missing marker.
torch.serialization.set_crc32_options(False)

MARKER = "COMPLETE"
STATE = "run_state.json"
NOTE = "extends.json"  # beside the checkpoints: the first one is of another training
FORMAT = 2  # raised when RunState gets other fields, or other meanings of them; ftspec/plan/extension.py has it too
WEIGHTS = "weights.safetensors"


@dataclass(slots=True, kw_only=True)
class RunState:
    """The program's own memory beside the trainer's: everything that later judgements look at."""

    step: int = 0
    stopped_early: bool = False
    losses: list[float] = field(default_factory=list)  # one for each optimizer step
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    best_value: float | None = None
    evaluations_without_gain: int = 0
    seconds: float = 0.0  # of training, over all attempts


def save_weights(model: nn.Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, str(folder / WEIGHTS))


def load_weights(model: nn.Module, folder: Path) -> None:
    load_model(model, str(folder / WEIGHTS), strict=True)


def complete(folder: Path, state: RunState) -> None:
    (folder / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state)}), encoding="utf-8")
    (folder / MARKER).write_text("", encoding="utf-8")


def newest(root: Path, events: StageEvents) -> tuple[Path, RunState] | None:
    """The newest complete checkpoint; half-written ones are removed, and, with a warning FTS655, those of another
    version. None: training begins at its start."""
    for folder in sorted(root.glob("checkpoint-*"), key=_step, reverse=True):
        if (folder / MARKER).is_file():
            state = _read(folder)
            if state is not None:
                return folder, state
            events.emit("warning", code="FTS655", detail=f"the checkpoint of step {_step(folder)} is dropped")
        shutil.rmtree(folder)
    root.with_name(NOTE).unlink(missing_ok=True)
    return None


def _read(folder: Path) -> RunState | None:
    """None where another version wrote it. One that wrote no number had these fields, or others."""
    try:
        document = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = {each.name for each in fields(RunState)}
    if not isinstance(document, dict) or document.pop("format", FORMAT) != FORMAT or document.keys() != known:
        return None
    return RunState(**document)


def best_folder(root: Path, step: int) -> Path:
    return root / f"best-{step}"


def prune(root: Path, keep_step: int, best_step: int | None) -> None:
    """Keep the checkpoint of `keep_step` and the best weights that it refers to."""
    for folder in root.glob("checkpoint-*"):
        if _step(folder) != keep_step:
            shutil.rmtree(folder)
    for folder in root.glob("best-*"):
        if _step(folder) != best_step:
            shutil.rmtree(folder)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])
