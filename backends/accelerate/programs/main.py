"""Runs the stages of config.json in order, in one process: `python main.py [--stages train,encode_tuned]`.

A stage whose out/<stage>/DONE.json has the expected key is skipped. Output is written to
out/<stage>.partial and renamed when it is complete. Exit codes: 0 done, 20 a check failed,
130 interrupted, 75 another process works in this folder, 1 anything else.
"""

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from events import CheckFailedError, Events, InterruptedRunError, StageEvents
from settings import Settings, Stage, read_settings
from watch import StopRequest, watch_parent

CHECK_FAILED, INTERRUPTED, BUSY = 20, 130, 75
ROOT = Path(__file__).resolve().parent
Work = Callable[[Path, StageEvents], None]

# Nothing is fetched: all that a run reads lies in its folder.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
           "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the stages of this folder that are not done yet.")
    parser.add_argument("--stages", help="comma-separated names; default: all of config.json")
    wanted = parser.parse_args().stages
    settings = read_settings(ROOT / "config.json")
    names = [stage.name for stage in settings.stages]
    chosen = names if wanted is None else wanted.split(",")
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(names)}")
    watch_parent()
    stop = StopRequest()
    stop.install()
    with (ROOT / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.stderr.write("another process works in this folder\n")
            return BUSY
        with Events(ROOT / "events.jsonl") as events:
            for stage in settings.stages:
                if stage.name in chosen and not is_done(stage):
                    code = run_stage(stage, settings, StageEvents(events, stage.name), stop)
                    if code:
                        return code
    return 0


def is_done(stage: Stage) -> bool:
    path = ROOT / "out" / stage.name / "DONE.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["key"] == stage.key


def run_stage(stage: Stage, settings: Settings, events: StageEvents, stop: StopRequest) -> int:
    """One stage; its exit code."""
    began = time.perf_counter()
    partial = _prepare(stage)
    events.emit("start", key=stage.key)
    try:
        if stop.asked:
            raise InterruptedRunError
        _work(stage.name, settings, stop)(partial, events)
    except CheckFailedError as fault:
        events.emit("error", code=fault.code, detail=fault.detail)
        sys.stderr.write(f"{fault}\n")
        return CHECK_FAILED
    except InterruptedRunError:
        events.emit("error", code="FTS610", detail="stopped on request; the next run goes on from here")
        return INTERRUPTED
    except Exception as fault:  # noqa: BLE001 - whatever it was, the run says so before it ends
        traceback.print_exc()
        events.emit("error", code="FTS606", detail=f"{type(fault).__name__}: {fault}")
        return 1
    seconds = round(time.perf_counter() - began, 3)
    done = {"stage": stage.name, "key": stage.key, "seconds": seconds}
    (partial / "DONE.json").write_text(json.dumps(done) + "\n", encoding="utf-8")
    final = partial.with_name(stage.name)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    (final / "KEY").unlink()
    events.emit("end", seconds=seconds)
    return 0


def _prepare(stage: Stage) -> Path:
    """The stage's working folder; what another key left there goes away, checkpoints of this one stay."""
    partial = ROOT / "out" / f"{stage.name}.partial"
    key = partial / "KEY"
    if partial.exists() and not (key.is_file() and key.read_text(encoding="utf-8") == stage.key):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    key.write_text(stage.key, encoding="utf-8")
    return partial


def _work(name: str, settings: Settings, stop: StopRequest) -> Work:
    """The stage's function. Libraries are imported once, when the first stage needs them."""
    os.environ.update(OFFLINE)
    import torch

    torch.set_num_threads(settings.machine.num_threads)
    if name == "train":
        from train import run_train

        return lambda folder, events: run_train(ROOT, settings, folder, events=events, stop=stop)
    from encode import run_encode

    model = {"encode_base": None, "encode_tuned": ROOT / "out" / "train" / "model"}[name]
    return lambda folder, events: run_encode(ROOT, settings, folder, model, events=events, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
