"""Whole processes of the trl backend: stages in order, killed runs that go on, several processes."""

import ast
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ftspec.paths import shared_folder
from ftspec.target.load import helper_file, load_targets
from tests.backends.llm_common import (
    BACKENDS,
    STAGES,
    finish_run,
    llm_rows,
    make_llm_run_folder,
    mean_loss,
    read_info,
    read_lines,
    start_run,
)
from tests.tiny_llm import make_tiny_llm

STEPS = 60
LONG: dict[str, Any] = {
    "adapter": {"dropout": 0.1},  # random numbers must go on as well
    "train": {"total_steps": STEPS, "save_steps": 5, "logging_steps": 7, "eval_steps": 10},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


def long_run(folder: Path, base: Path) -> Path:
    return make_llm_run_folder(folder, "trl", base, validation=llm_rows(base, 4, offset=500), **LONG)


def wait_for(folder: Path, process: "subprocess.Popen[bytes]", event: str, step: int) -> None:
    """Until the run has said `event` for `step` or a later one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (folder / "events.jsonl").exists():
            lines = read_lines(folder / "events.jsonl")
            if any(line["event"] == event and line.get("step", -1) >= step for line in lines):
                return
        assert process.poll() is None, (folder / "trainer.log").read_text()
        time.sleep(0.005)
    raise AssertionError("the run never got there")


def log(folder: Path) -> str:
    return (folder / "trainer.log").read_text()


def assert_same_result(one: Path, two: Path) -> None:
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors", "curve.jsonl"):
        first, second = (folder / "out" / "train" / name for folder in (one, two))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.slow
def test_killed_and_interrupted_runs_end_like_the_undisturbed_one(base: Path, tmp_path: Path) -> None:
    undisturbed, folder = long_run(tmp_path / "undisturbed", base), long_run(tmp_path / "run", base)
    assert finish_run(undisturbed, "--stages", "train") == 0, log(undisturbed)

    process = start_run(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", 15)
    process.kill()
    process.wait()
    half = folder / "out" / "train.partial" / "checkpoints" / f"checkpoint-{STEPS + 1}"
    half.mkdir()  # as if it had been killed while it saved
    (half / "weights.safetensors").write_bytes(b"half")

    process = start_run(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", 30)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert read_lines(folder / "events.jsonl")[-1]["code"] == "FTS610"
    assert finish_run(folder, "--stages", "train") == 0, log(folder)

    events = read_lines(folder / "events.jsonl")
    resumed = [event["step"] for event in events if event["event"] == "resumed"]
    assert len(resumed) == 2
    assert 15 <= resumed[0] < resumed[1] < STEPS
    assert read_info(folder, "train")["resumed_from_step"] == resumed[1]
    assert read_info(undisturbed, "train")["resumed_from_step"] is None
    assert_same_result(folder, undisturbed)


PAIR = {"num_processes": 2, "gradient_accumulation_steps": 1}


def uneven_run(folder: Path, base: Path, **changes: Any) -> Path:
    """Rows of several lengths, an odd number of them held out."""
    return make_llm_run_folder(
        folder,
        "trl",
        base,
        rows=[row for index in range(16) for row in llm_rows(base, 1, offset=index, words=3 + index % 7)],
        test=llm_rows(base, 7, offset=900),
        validation=llm_rows(base, 5, offset=500),
        train={"total_steps": 30, "eval_steps": 4, "logging_steps": 1, "save_steps": 3},
        **changes,
    )


@pytest.fixture(scope="module")
def pair(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = uneven_run(tmp_path_factory.mktemp("pair") / "run", base, machine=PAIR)
    assert finish_run(folder) == 0, log(folder)
    return folder


@pytest.mark.slow
def test_two_processes_train_like_one(base: Path, tmp_path: Path, pair: Path) -> None:
    """Started by main.py, and by torchrun."""
    alone, by_torchrun = (
        uneven_run(tmp_path / "alone", base),
        uneven_run(tmp_path / "torchrun", base, machine=PAIR),
    )
    assert finish_run(alone) == 0, log(alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run(
        [*command, str(by_torchrun / "main.py"), "--stages", "train"],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    expected = read_lines(alone / "out" / "train" / "curve.jsonl")
    found = read_lines(pair / "out" / "train" / "curve.jsonl")
    assert [point.get("learning_rate") for point in found] == [p.get("learning_rate") for p in expected]
    for point, other in zip(found, expected, strict=True):
        if "eval" in other:
            assert point["eval"]["loss"] == pytest.approx(other["eval"]["loss"], abs=1e-4)
        else:
            assert point["loss"] == pytest.approx(other["loss"], abs=1e-4)
    assert_same_result(pair, by_torchrun)
    assert read_info(pair, "train")["world_size"] == 2
    for name in ("score_base", "score_tuned"):
        assert mean_loss(pair, name) == pytest.approx(mean_loss(alone, name), abs=1e-4)
        lines = [read_lines(folder / "out" / name / "losses.jsonl") for folder in (alone, pair)]
        assert [line["id"] for line in lines[0]] == [line["id"] for line in lines[1]]
    events = [(line["stage"], line["event"]) for line in read_lines(pair / "events.jsonl")]
    assert [found for found in events if found[1] in ("start", "end")] == [
        (stage, event) for stage in STAGES for event in ("start", "end")
    ]


@pytest.mark.slow
def test_two_processes_are_stopped_and_go_on(base: Path, tmp_path: Path, pair: Path) -> None:
    folder = uneven_run(tmp_path / "run", base, machine=PAIR)
    process = start_run(folder, "--stages", "train")
    wait_for(folder, process, "checkpoint", 6)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert finish_run(folder, "--stages", "train") == 0, log(folder)
    assert read_info(folder, "train")["resumed_from_step"] >= 6
    assert_same_result(folder, pair)


def test_one_run_a_folder(base: Path, tmp_path: Path) -> None:
    folder = make_llm_run_folder(tmp_path / "run", "trl", base)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert finish_run(folder) == 75
    assert not (folder / "events.jsonl").exists()


def test_another_number_of_processes_than_planned_is_refused(base: Path, tmp_path: Path) -> None:
    folder = make_llm_run_folder(tmp_path / "run", "trl", base, machine=PAIR)
    code = finish_run(folder, "--stages", "train", env={"WORLD_SIZE": "1", "RANK": "0"})
    assert code == 20
    last = read_lines(folder / "events.jsonl")[-1]
    assert (last["code"], last["detail"]) == ("FTS606", "1 processes run, planned are 2")


def test_the_target_names_the_files_that_its_programs_import() -> None:
    """All of them, and no others: a run folder holds nothing else."""
    targets, found = load_targets([shared_folder("backends")])
    assert not list(found)
    (target,) = (target for target in targets if target.name == "trl")
    assert sorted(target.programs) == sorted(
        f"programs/{path.name}" for path in (BACKENDS / "trl" / "programs").glob("*.py")
    )
    files = [target.folder / name for name in target.programs]
    files += [helper_file(target, name) for name in target.helpers]
    own = {path.stem for path in files}
    allowed = {name.replace("-", "_") for name in target.packages} | {
        "safetensors"
    }  # comes with transformers
    imported = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                imported.add((node.module or "").partition(".")[0])
    assert imported <= own | allowed | sys.stdlib_module_names
    assert own - imported == {"main", "merge"}  # what is started
