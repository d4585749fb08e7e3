"""The last state of a training: taken from a run folder, and placed into another one. The layout is that of the
programs (`stages.py`, `last_state.py`): a stage in progress lies in out/<stage>.partial, under its KEY."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftspec.lower.links import link_tree

KEEP_STATE = "FTSPEC_KEEP_STATE"  # 1: a finished training leaves its last state in its output
FOLDER = "last_state"
INPUTS = "state_inputs.json"  # beside the checkpoints: what all of them were made with
_MARKER = "COMPLETE"


def begun(folder: Path, key: str) -> tuple[Path, float] | None:
    """How far a run folder is with the stage `train` of this key: where its output lies, and the step that the
    program goes on from, infinite where it is done. None: it begins at its start."""
    partial, out = folder / "out" / "train.partial", folder / "out" / "train"
    done, name = out / "DONE.json", partial / "KEY"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8"))["key"] == key:
        return out, math.inf
    if not (name.is_file() and name.read_text(encoding="utf-8") == key):
        return None
    whole = partial.glob(f"checkpoints/checkpoint-*/{_MARKER}")
    step = max((int(path.parent.name.rpartition("-")[2]) for path in whole), default=None)
    return None if step is None else (partial, step)


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
    `note`: a file of its output, by name and content. False where the folder is as far by itself. What else lies
    there, of another plan or from before that step, goes away."""
    own = begun(folder, key)
    if own is not None and own[1] >= step:
        return False
    partial = folder / "out" / "train.partial"
    shutil.rmtree(partial, ignore_errors=True)
    link_tree(source, partial / "checkpoints" / f"checkpoint-{step}", wanted)
    (partial / note[0]).write_text(json.dumps(note[1]) + "\n", encoding="utf-8")
    (partial / "KEY").write_text(key, encoding="utf-8")  # last: without it, the programs begin afresh
    return True


def note_inputs(folder: Path, inputs: Mapping[str, Any], *, key: str, placed: bool) -> None:
    """Before an attempt at the stage `train`: what it trains with, which is what its last state is called by.
    `placed`: it begins with a state of equal inputs. Where an attempt before it left checkpoints that were made
    with others, or nobody knows with what, the last state is of neither, and none is kept."""
    own = begun(folder, key)
    if own is not None and own[1] == math.inf:
        return
    partial = folder / "out" / "train.partial"
    if own is None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    agrees = own is None or placed or _inputs(partial) == inputs
    (partial / INPUTS).write_text(json.dumps(inputs if agrees else None) + "\n", encoding="utf-8")
    (partial / "KEY").write_text(key, encoding="utf-8")


def _inputs(output: Path) -> dict[str, Any] | None:
    path = output / INPUTS
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def take_state(output: Path, target: Path) -> dict[str, Any] | None:
    """Move the last state out of the output of a finished training; what all of it was made with. None where it
    left no state, or attempts at it did not agree: then nothing is kept."""
    source, inputs = output / FOLDER, _inputs(output)
    shutil.rmtree(target, ignore_errors=True)
    (output / INPUTS).unlink(missing_ok=True)
    if inputs is None or not (source / _MARKER).is_file():
        shutil.rmtree(source, ignore_errors=True)
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    return inputs
