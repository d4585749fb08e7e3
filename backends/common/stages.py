"""Runs the stages of a run folder's config.json in order, in one process.

`python main.py [--stages score_base,train]`. A stage whose out/<stage>/DONE.json has the expected key is
skipped. Output is written to out/<stage>.partial and renamed when it is complete. Exit codes: 0 done,
20 a check failed, 130 interrupted, 75 another process works in this folder, 1 anything else.

With several processes, each of them runs all stages; the first one (rank 0) prepares and completes the
folders and tells the events.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from events import CheckFailedError, Events, InterruptedRunError, StageEvents
from ranks import INSIDE, Ranks, launch_ranks
from watch import StopRequest, watch_parent

CHECK_FAILED, INTERRUPTED, BUSY = 20, 130, 75

ALOUD = "FTSPEC_ALOUD"  # "1": stderr says what runs

# Nothing is fetched: all that a run reads lies in its folder.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
           "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip


class Stage(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...


class Settings(Protocol):
    @property
    def stages(self) -> Sequence[Stage]: ...


S = TypeVar("S", bound=Settings)
Work = Callable[[Path, StageEvents], None]  # fills the stage's folder


def run_program(
    root: Path,
    read_settings: Callable[[Path], S],
    work: Callable[[str, S, StopRequest], Work],
    *,
    num_processes: Callable[[S], int] = lambda settings: 1,
    renew: bool = False,
) -> int:
    """The whole of a main.py; its exit code.

    `renew`: each stage begins in a new interpreter, for libraries that change others when they are
    imported; not with several processes.

    `work` gives the function of a stage by name; it is asked when the stage begins, so that it can import
    its libraries late. More than one process: this one starts the others and waits for them, unless it is
    one of them itself (by torchrun, say).
    """
    parser = argparse.ArgumentParser(description="Run the stages of this folder that are not done yet.")
    parser.add_argument("--stages", help="comma-separated names; default: all of config.json")
    wanted = parser.parse_args().stages
    settings = read_settings(root / "config.json")
    names = [stage.name for stage in settings.stages]
    chosen = names if wanted is None else wanted.split(",")
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(names)}")
    os.environ.update(OFFLINE)
    watch_parent()
    stop = StopRequest()
    stop.install()
    ranks = Ranks.here()
    planned = num_processes(settings)
    aloud = _aloud(root, ranks)
    with _lock(root, ranks) as free:
        if not free:
            sys.stderr.write("another process works in this folder\n")
            return BUSY
        if planned > 1 and not ranks.launched:
            return launch_ranks(planned, [sys.executable, *sys.argv], stop)
        with Events(root / "events.jsonl") as events:
            used = False
            for stage in settings.stages:
                if stage.name in chosen and not is_done(root, stage):
                    if used and renew:
                        _begin_again()
                    used = True
                    said = StageEvents(events, stage.name, silent=ranks.rank > 0, aloud=aloud)
                    code = _run_stage(root, stage, said, stop, ranks, planned, work, settings)
                    if code:
                        return _leave(code, ranks)
    return _leave(0, ranks)


def _aloud(root: Path, ranks: Ranks) -> bool:
    """Whether a person started this, who is told what runs; ftspec reads events.jsonl. Processes that this one
    starts do as it does."""
    first = ALOUD not in os.environ
    said = os.environ.setdefault(ALOUD, "0" if os.environ.get("FTSPEC_WATCH_STDIN") == "1" else "1") == "1"
    if said and first and ranks.rank == 0:
        sys.stderr.write(
            f"{root.name} runs with {sys.executable}; events.jsonl says what happens, out/ holds what is made\n"
        )
    return said


def _leave(code: int, ranks: Ranks) -> int:
    """The exit code. One of several processes ends here and now: the threads that gloo keeps abort a process
    (exit code 134) whose peers were the first to go. Nothing is lost: what is written is not buffered."""
    if ranks.size > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _begin_again() -> NoReturn:
    """This program from its start, in this process: the finished stages are skipped. Files that it holds
    open, the lock among them, are closed on the way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - no shell is meant


@contextlib.contextmanager
def _lock(root: Path, ranks: Ranks) -> Iterator[bool]:
    """False when another run holds the folder. The first of several processes asks for all."""
    if ranks.rank > 0 or INSIDE in os.environ:
        yield True
        return
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def is_done(root: Path, stage: Stage) -> bool:
    path = root / "out" / stage.name / "DONE.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["key"] == stage.key


def _run_stage(
    root: Path,
    stage: Stage,
    events: StageEvents,
    stop: StopRequest,
    ranks: Ranks,
    planned: int,
    work: Callable[[str, S, StopRequest], Work],
    settings: S,
) -> int:
    """One stage; its exit code."""
    began = time.perf_counter()
    partial = root / "out" / f"{stage.name}.partial"
    if ranks.rank == 0:
        _prepare(partial, stage)
    events.emit("start", key=stage.key)
    try:
        if ranks.size != planned:
            raise CheckFailedError("FTS606", f"{ranks.size} processes run, planned are {planned}")
        if stop.asked:
            raise InterruptedRunError
        function = work(stage.name, settings, stop)
        ranks.join()
        function(partial, events)
        ranks.wait()
    except CheckFailedError as fault:
        events.emit("error", code=fault.code, detail=fault.detail)
        sys.stderr.write(f"{fault}\n")
        return CHECK_FAILED
    except InterruptedRunError:
        events.emit("error", code="FTS610", detail="stopped on request; the next run goes on from here")
        return INTERRUPTED
    except Exception as fault:  # noqa: BLE001 - whatever it was, the run says so before it ends
        traceback.print_exc()
        where = f"process {ranks.rank}: " if ranks.size > 1 else ""
        events.insist("error", code="FTS606", detail=f"{where}{type(fault).__name__}: {fault}")
        return 1
    seconds = round(time.perf_counter() - began, 3)
    if ranks.rank == 0:
        _complete(partial, stage, seconds)
    events.emit("end", seconds=seconds)
    ranks.wait()
    return 0


def _prepare(partial: Path, stage: Stage) -> None:
    """The stage's working folder; what another key left there goes away, checkpoints of this one stay."""
    key = partial / "KEY"
    if partial.exists() and not (key.is_file() and key.read_text(encoding="utf-8") == stage.key):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    key.write_text(stage.key, encoding="utf-8")


def _complete(partial: Path, stage: Stage, seconds: float) -> None:
    done = {"stage": stage.name, "key": stage.key, "seconds": seconds}
    (partial / "DONE.json").write_text(json.dumps(done) + "\n", encoding="utf-8")
    final = partial.with_name(stage.name)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    (final / "KEY").unlink()
