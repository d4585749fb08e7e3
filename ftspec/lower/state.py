"""The last state of a training: taken from a run folder, and placed into another one. The layout is that of the
programs (`stages.py`, `last_state.py`): a stage in progress lies in out/<stage>.partial, under its KEY."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftspec.lower.links import link_tree

KEEP_STATE = "FTSPEC_KEEP_STATE"  # 1: a finished training leaves its last state in its output
FOLDER = "last_state"
_MARKER = "COMPLETE"


def place_state(
    folder: Path,
    source: Path,
    *,
    key: str,
    step: int,
    note: tuple[str, Mapping[str, Any]],
    wanted: Callable[[Path], bool],
) -> bool:
    """Let the stage `train` of a run folder, whose key is `key`, begin with the state in `source`, that of `step`.
    `note`: a file of its output, by name and content. False where the folder is further on by itself: it has
    finished the stage, or has checkpoints of its own. What else lies there is of another plan and goes away."""
    partial, done = folder / "out" / "train.partial", folder / "out" / "train" / "DONE.json"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8"))["key"] == key:
        return False
    name = partial / "KEY"
    own = name.is_file() and name.read_text(encoding="utf-8") == key
    if own and any((partial / "checkpoints").glob(f"checkpoint-*/{_MARKER}")):
        return False
    shutil.rmtree(partial, ignore_errors=True)
    link_tree(source, partial / "checkpoints" / f"checkpoint-{step}", wanted)
    (partial / note[0]).write_text(json.dumps(note[1]) + "\n", encoding="utf-8")
    name.write_text(key, encoding="utf-8")  # last: without it, the programs begin afresh
    return True


def take_state(output: Path, target: Path) -> bool:
    """Move the last state out of the output of a finished training; False where it left none."""
    source = output / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    if not (source / _MARKER).is_file():
        shutil.rmtree(source, ignore_errors=True)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    return True
