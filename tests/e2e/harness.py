"""Runs the installed `ftspec` command as its users do, on projects made on the spot."""

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

FTSPEC = Path(sys.executable).with_name("ftspec")
SECONDS = 300.0  # longer than any command may take on a busy machine
THINGS = [
    "file",
    "socket",
    "thread",
    "lock",
    "queue",
    "json",
    "xml",
    "csv",
    "date",
    "zone",
    "list",
    "tuple",
    "dict",
    "string",
    "regex",
    "hash",
    "archive",
    "path",
    "mail",
    "header",
]
COLORS = ("red", "green", "blue")

SPEC = """\
apiVersion: ftspec/v1
kind: Embedding
metadata:
  name: tiny
model:
  base: ./tiny
  max_seq_length: 32
data:
  train:
    - type: file
      path: rows.jsonl
      roles: {query: question, positive: text, group: color}
  split: {by: positive, test: 0.3}
train:
  objective: {type: contrastive}
  global_batch_size: 8
  max_steps: 200
  learning_rate: 1.0e-3
  save_steps: 20
evaluation:
  metrics: [recall@1, mrr@10]
  slices: [group]
  bootstrap: {resamples: 100000}
  latency_queries: 10
gates:
  recall@1: {min: 0.05, min_gain: -1}
resources:
  limits: {threads: 1}
"""


def rows() -> list[dict[str, str]]:
    """60 pairs that a model can learn, but for every sixth, whose text has nothing to do with its query."""
    pairs = []
    for number in range(60):
        thing, color = THINGS[number % len(THINGS)], COLORS[number // len(THINGS)]
        noise = hashlib.sha256(str(number).encode()).hexdigest()[:12]
        text = (
            f"nothing of use {noise}"
            if number % 6 == 5
            else f"the {color} {thing} is kept in folder {number}"
        )
        pairs.append({"question": f"find {thing} {color}", "text": text, "color": color})
    return pairs


def write_rows(path: Path, pairs: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")


def write_project(folder: Path, model: Path, spec: str = SPEC) -> Path:
    """A folder with a copy of `model` as tiny/, rows.jsonl and spec.yaml."""
    folder.mkdir(parents=True)
    shutil.copytree(model, folder / "tiny")
    write_rows(folder / "rows.jsonl", rows())
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    return folder


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """One thread, no colours, no network, whatever the tester's shell says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FTSPEC_", "FORCE_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", **(changes or {})}


def ftspec(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, exits: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end without a terminal; `exits` is the code that is asked of it, None for any."""
    done = subprocess.run(
        [FTSPEC, *arguments],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert exits is None or done.returncode == exits, (
        f"ftspec {' '.join(map(str, arguments))}: exit {done.returncode}, not {exits}\n"
        f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done


def ftspec_json(*arguments: str | Path, cwd: Path, exits: int | None = 0) -> Any:
    """The one JSON document that a command prints with `--format json`."""
    return json.loads(ftspec(*arguments, "--format", "json", cwd=cwd, exits=exits).stdout)


def apply(
    cwd: Path, *arguments: str | Path, subject: str = "spec.yaml", exits: int | None = 0
) -> dict[str, Any]:
    """`ftspec apply --yes --format json`; its last line."""
    done = ftspec("apply", subject, *arguments, "--yes", "--format", "json", cwd=cwd, exits=exits)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def sql(query: str, cwd: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ftspec_json("sql", query, cwd=cwd)
    return found


def actions(cwd: Path, *arguments: str) -> dict[str, str]:
    """Stage → run or reuse, as planned now."""
    plan = ftspec_json("plan", "spec.yaml", *arguments, cwd=cwd)
    return {stage["name"]: stage["action"] for stage in plan["stages"]}


class Applying:
    """An `apply --format json` in progress, in a process group of its own, whose events can be awaited."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.events: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors = (cwd / "stderr.txt").open("w+", encoding="utf-8")
        # Shells start background jobs with SIGINT ignored, and children inherit that; a handler they do not.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [FTSPEC, "apply", "spec.yaml", "--yes", "--format", "json"],
                cwd=cwd,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that `wanted` accepts."""
        deadline = time.monotonic() + SECONDS
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"apply ended before the event\n{self.stderr()}"
            self.events.append(json.loads(line))
            if wanted(self.events[-1]):
                return self.events[-1]

    def wait_for_event(self, stage: str, event: str) -> dict[str, Any]:
        return self.wait_for(lambda line: (line.get("stage"), line.get("event")) == (stage, event))

    def end(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(SECONDS)

    def stderr(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def kill_parent(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def kill_all(self) -> None:
        """kill -9 for ftspec and every process that works in the project."""
        for process in [self.process, *processes_in(self.cwd)]:
            process.kill()
        self.process.wait(SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Living processes whose working directory lies in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and Path(process.cwd()).is_relative_to(folder.resolve()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def seconds_until_alone(folder: Path, limit: float) -> float | None:
    """How long it took until nothing ran in `folder` any more; None when something still does after `limit`."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if not processes_in(folder):
            return time.monotonic() - began
        time.sleep(0.1)
    return None
