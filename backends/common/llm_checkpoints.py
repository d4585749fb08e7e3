"""What an LLM run needs to go on after it was stopped, and the checkpoints that hold it; no torch.

A checkpoint is complete when its marker file is there, which is written last: a run that was killed
while it saved leaves one without, and the next run goes back to the one before.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from events import StageEvents

MARKER = "COMPLETE"
STATE = "run_state.json"
NOTE = "extends.json"  # beside the checkpoints: the first one is of another training
FORMAT = 2  # raised when RunState gets other fields, or other meanings of them; ftspec/plan/extension.py has it too


@dataclass(slots=True, kw_only=True)
class RunState:
    """The program's own memory: everything that later judgements look at."""

    step: int = 0
    losses: list[float] = field(default_factory=list)  # one for each optimizer step
    curve: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0  # of training, over all attempts
    warned: list[str] = field(default_factory=list)  # codes of warnings that were given already


def complete(folder: Path, state: RunState) -> None:
    """Mark the checkpoint as whole; the last thing that is written to it."""
    (folder / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state)}), encoding="utf-8")
    (folder / MARKER).write_text("", encoding="utf-8")


def newest(root: Path, events: StageEvents) -> tuple[Path, RunState] | None:
    """The newest complete checkpoint below `root`, by the step at the end of its name; those of another version are
    removed, with a warning FTS655. None: training begins at its start."""
    for folder in sorted(root.glob("checkpoint-*"), key=_step, reverse=True):
        if (folder / MARKER).is_file():
            state = _read(folder)
            if state is not None:
                return folder, state
            events.emit("warning", code="FTS655", detail=f"the checkpoint of step {_step(folder)} is dropped")
            shutil.rmtree(folder, ignore_errors=True)  # every process comes here
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


def prune(root: Path, keep_step: int | None) -> None:
    """Remove all checkpoints but that of `keep_step`: older ones, and half-written newer ones."""
    for folder in root.glob("checkpoint-*"):
        if _step(folder) != keep_step:
            shutil.rmtree(folder)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])
