"""Whole processes: stages in order, killed runs that go on, and no ftspec in sight."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.backends.run_folder import PROGRAMS, base_config, make_run, merged, read_events, train_rows

NewRun = Callable[..., Path]
STEPS = 90
LONG: dict[str, Any] = {
    "arguments": {"max_steps": STEPS, "save_steps": 5, "logging_steps": 7, "learning_rate": 1e-4},
    "validation": {
        "eval_steps": 10,
        "metric": "ndcg@10",
        "patience": None,
        "min_delta": 0.0,
        "keep_best": False,
    },
}
# What a run sees on a machine that has the backend's libraries and not ftspec.
WITHOUT_FTSPEC = (
    "import runpy, sys; sys.modules['ftspec'] = None; sys.path.insert(0, sys.argv[1]); "
    "sys.argv = sys.argv[1:]; sys.argv[0] += '/main.py'; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def start(folder: Path, *options: str, **keywords: Any) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **keywords.pop("env", {})}
    command = [sys.executable, "-c", WITHOUT_FTSPEC, str(folder), *options]
    log = (folder / "trainer.log").open("ab")
    with log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd="/", **keywords)


def finish(folder: Path, *options: str) -> int:
    return start(folder, *options).wait(timeout=120)


def wait_for(folder: Path, process: "subprocess.Popen[bytes]", event: str, step: int) -> None:
    """Until the run has said `event` for `step` or a later one."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if (folder / "events.jsonl").exists():
            text = (folder / "events.jsonl").read_text()
            lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be in the making
            if any(e["event"] == event and e["step"] >= step for e in map(json.loads, lines) if "step" in e):
                return
        assert process.poll() is None, (folder / "trainer.log").read_text()
        time.sleep(0.005)
    raise AssertionError("the run never got there")


def state_of(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Final weights, and the loss curve with what depends on the clock left out."""
    weights = load_file(folder / "out" / "train" / "model" / "model.safetensors")
    lines = (folder / "out" / "train" / "curve.jsonl").read_text().splitlines()
    return weights, [json.loads(line) for line in lines]


def assert_same_result(one: Path, two: Path) -> None:
    first, second = state_of(one), state_of(two)
    assert all(torch.equal(first[0][key], second[0][key]) for key in first[0])
    assert first[1] == second[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_parameters: int) -> Path:
    config = merged(base_config(tiny_parameters), LONG)
    folder = make_run(tmp_path_factory.mktemp("undisturbed") / "run", tiny_base, config, train_rows())
    assert finish(folder, "--stages", "train") == 0, (folder / "trainer.log").read_text()
    return folder


@pytest.mark.slow
def test_killed_and_interrupted_runs_end_like_the_undisturbed_one(new_run: NewRun, undisturbed: Path) -> None:
    folder = new_run(**LONG)
    process = start(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", 15)
    process.kill()
    process.wait()
    saved = folder / "out" / "train.partial" / "checkpoints"
    half = saved / f"checkpoint-{STEPS + 1}"  # as if it had been killed while it saved
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")

    process = start(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", 40)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) in (130, 0)
    assert finish(folder, "--stages", "train") == 0, (folder / "trainer.log").read_text()

    events = read_events(folder)
    resumed = [event["step"] for event in events if event["event"] == "resumed"]
    assert resumed
    assert resumed[0] >= 15
    assert resumed[0] % 5 == 0
    assert_same_result(folder, undisturbed)
    assert finish(folder, "--stages", "train") == 0
    assert len(read_events(folder)) == len(events)  # a finished stage is skipped


@pytest.mark.slow
def test_a_run_killed_after_its_last_step_trains_no_more(new_run: NewRun, undisturbed: Path) -> None:
    folder = new_run(**LONG)
    process = start(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", STEPS)
    process.kill()
    process.wait()
    if (folder / "out" / "train").exists():
        pytest.skip("the run was faster than the signal")
    assert finish(folder, "--stages", "train") == 0
    assert_same_result(folder, undisturbed)
    assert [e["step"] for e in read_events(folder) if e["event"] == "resumed"] == [STEPS]


def test_all_stages_without_ftspec(new_run: NewRun) -> None:
    folder = new_run()
    assert finish(folder) == 0, (folder / "trainer.log").read_text()
    events = read_events(folder)
    assert [(e["stage"], e["event"]) for e in events if e["event"] in ("start", "end")] == [
        (stage, event) for stage in ("encode_base", "train", "encode_tuned") for event in ("start", "end")
    ]
    for stage in ("encode_base", "train", "encode_tuned"):
        done = json.loads((folder / "out" / stage / "DONE.json").read_text())
        assert done["stage"] == stage
        assert done["key"] == f"sha256:{stage}"
        assert not (folder / "out" / stage / "KEY").exists()
    base = (folder / "out" / "encode_base" / "corpus.npy").read_bytes()
    assert base != (folder / "out" / "encode_tuned" / "corpus.npy").read_bytes()
    assert not list((folder / "out").glob("*.partial"))


@pytest.mark.slow
def test_a_failed_check_has_its_own_exit_code(new_run: NewRun) -> None:
    folder = new_run(checks={"collapse": "fail", "max_mean_cosine": 0.01})
    assert finish(folder, "--stages", "train") == 20
    last = read_events(folder)[-1]
    assert (last["event"], last["code"]) == ("error", "FTS609")
    assert not (folder / "out" / "train").exists()


@pytest.mark.slow
def test_the_run_ends_with_its_parent(new_run: NewRun) -> None:
    folder = new_run(**{**LONG, "arguments": {**LONG["arguments"], "max_steps": 100_000}})
    process = start(folder, "--stages", "train", env={"FTSPEC_WATCH_STDIN": "1"}, stdin=subprocess.PIPE)
    wait_for(folder, process, "checkpoint", 5)
    second = start(folder, "--stages", "train")
    assert second.wait(timeout=60) == 75  # one trainer a folder
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 143


def test_programs_import_only_what_a_run_folder_has() -> None:
    own = {path.stem for path in PROGRAMS}
    # the packages of target.yaml, and safetensors, which comes with transformers
    allowed = {
        "torch",
        "transformers",
        "sentence_transformers",
        "datasets",
        "peft",
        "numpy",
        "scipy",
        "safetensors",
    }
    for path in PROGRAMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top in own | allowed | sys.stdlib_module_names, f"{path.name} imports {name}"
