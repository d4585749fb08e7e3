"""A longer training that goes on from the last state of a shorter one ends as if it had begun at the start."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftspec.plan.extension import STATE_FORMAT
from tests.backends.llm_common import backend_programs, llm_rows, make_llm_run_folder
from tests.backends.run_folder import read_events, train_rows
from tests.tiny_llm import make_tiny_llm

NewRun = Callable[..., Path]
Train = Callable[[Path], Path]
Changes = dict[str, Any]
LONG = 14  # steps; 4 are an epoch
RISING = {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 6}
WAYS: dict[str, tuple[int, Changes]] = {
    "within an epoch": (6, {}),
    "at its end": (8, {}),
    "while it warms up": (2, {"arguments": {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 5}}),
    "after another schedule": (5, {"arguments": RISING, "before": {"lr_scheduler_type": "linear"}}),
    "at the end of its rise": (6, {"arguments": RISING, "before": {"lr_scheduler_type": "cosine"}}),
    "accumulated": (
        6,
        {"arguments": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, "loss": {"cached": False}},
    ),
    "cached": (6, {"loss": {"cached": True, "mini_batch_size": 4}}),
    "sgd": (6, {"arguments": {"optim": "sgd"}}),
    "adafactor": (6, {"arguments": {"optim": "adafactor"}}),
    "classes": (
        6,
        {
            "data": {"roles": ["query", "label"]},
            "loss": {"objective": "labelled_classes", "variant": "batch_all", "margin": 0.3, "temperature": None,
                     "symmetric": None, "mask_positives": None},
        },
    ),
}  # fmt: skip


def _steps(changes: Changes, steps: int, *, every: int) -> Changes:
    given = {"lr_scheduler_type": "constant", "warmup_steps": 0, **changes.get("arguments", {})}
    watched = {"metric": "ndcg@10", "patience": None, "min_delta": 0.0, "keep_best": False}
    return {
        **changes,
        "arguments": {**given, "max_steps": steps, "save_steps": every, "logging_steps": every},
        "validation": {**watched, "eval_steps": every},
    }


def _weights(output: Path) -> bytes:
    return (output / "model" / "model.safetensors").read_bytes()


def _info(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "info.json").read_text())
    return found


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_to_the_same_end(
    new_run: NewRun, train: Train, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    first, changes = WAYS[way]
    shorter = changes.get("before", {})
    changes = {name: value for name, value in changes.items() if name != "before"}
    before = {**changes, "arguments": {**changes.get("arguments", {}), **shorter}}
    rows = [{**row, "label": f"class {index % 4}"} for index, row in enumerate(train_rows())]
    whole = train(new_run("whole", rows, **_steps(changes, LONG, every=3)))
    assert not (whole / "last_state").exists(), "nobody asked for it"

    monkeypatch.setenv("FTSPEC_KEEP_STATE", "1")
    short = train(new_run("short", rows, **_steps(before, first, every=2)))
    folder = new_run("long", rows, **_steps(changes, LONG, every=3))
    shutil.copytree(
        short / "last_state", folder / "out" / "train.partial" / "checkpoints" / f"checkpoint-{first}"
    )
    long = train(folder)

    assert _weights(short) != _weights(whole)
    assert _weights(long) == _weights(whole)
    one, other = _info(long), _info(whole)
    assert (one["resumed_from_step"], other["resumed_from_step"]) == (first, None)
    assert {**one["checks"], "steps": one["steps"]} == {**other["checks"], "steps": other["steps"]}
    assert (long / "last_state" / "COMPLETE").is_file()
    assert not (long / "checkpoints").exists()
    saved = [event["step"] for event in read_events(folder) if event["event"] == "checkpoint"]
    assert saved == [step for step in range(first + 1, LONG + 1) if step % 3 == 0 or step == LONG]


def test_a_format_has_its_number(load: Callable[[str], Any]) -> None:
    """Where this fails, raise FORMAT and STATE_FORMAT with the fields: an old state would be taken for a new one."""
    form: dict[str, set[str]] = {
        name: {each.name for each in fields(load(name).RunState)}
        for name in ("checkpoints", "llm_checkpoints")
    }
    assert (STATE_FORMAT, form) == (
        2,
        {
            "checkpoints": {
                "step",
                "stopped_early",
                "losses",
                "curve",
                "best_step",
                "best_value",
                "evaluations_without_gain",
                "seconds",
            },
            "llm_checkpoints": {"step", "losses", "curve", "seconds", "warned"},
        },
    )
    assert {load(name).FORMAT for name in form} == {STATE_FORMAT}


@pytest.mark.parametrize("program", ["checkpoints", "llm_checkpoints"])
@pytest.mark.parametrize("harm", ["field", "number", "cut"])
def test_a_checkpoint_of_another_version_is_dropped(
    load: Callable[[str], Any], tmp_path: Path, program: str, harm: str
) -> None:
    told: list[dict[str, Any]] = []
    events = SimpleNamespace(emit=lambda event, **values: told.append({"event": event, **values}))
    module, root = load(program), tmp_path / "checkpoints"
    folder = root / "checkpoint-20"
    folder.mkdir(parents=True)
    (tmp_path / "extends.json").touch()
    module.complete(folder, module.RunState(step=20))
    path = folder / "run_state.json"
    state = json.loads(path.read_text())
    assert module.newest(root, events) == (folder, module.RunState(step=20))
    del state["format"]
    path.write_text(json.dumps(state))
    assert module.newest(root, events) == (folder, module.RunState(step=20)), "before there was a number"
    assert (told, (tmp_path / "extends.json").exists()) == ([], True)
    other = {
        "field": {**state, "finished": False},
        "number": {**state, "format": module.FORMAT + 1},
        "cut": state,
    }[harm]
    path.write_text(json.dumps(other)[: -3 if harm == "cut" else None])
    assert module.newest(root, events) is None
    assert told == [{"event": "warning", "code": "FTS655", "detail": "the checkpoint of step 20 is dropped"}]
    assert not folder.exists()
    assert not (tmp_path / "extends.json").exists()


def test_a_run_of_another_version_begins_anew(new_run: NewRun, train: Train) -> None:
    folder = new_run("run", **_steps({}, 4, every=2))
    saved = folder / "out" / "train.partial" / "checkpoints" / "checkpoint-2"
    saved.mkdir(parents=True)
    (saved / "run_state.json").write_text('{"step": 2, "finished": false, "losses": [1.0, 1.0]}')
    (saved / "COMPLETE").touch()
    output = train(folder)
    assert _info(output)["resumed_from_step"] is None
    assert [event["code"] for event in read_events(folder) if event["event"] == "warning"] == ["FTS655"]
    assert _info(output)["steps"] == 4


def test_a_text_model_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTSPEC_KEEP_STATE", "1")
    base = make_tiny_llm(tmp_path / "tiny")
    with backend_programs("trl") as load:

        def run(name: str, steps: int, start: Path | None = None) -> Path:
            folder = make_llm_run_folder(
                tmp_path / name, "trl", base, validation=llm_rows(base, 4, offset=500),
                adapter={"dropout": 0.1},
                train={"total_steps": steps, "lr_scheduler_type": "constant", "warmup_steps": 0, "eval_steps": 3},
            )  # fmt: skip
            output = folder / "out" / "train"
            output.mkdir(parents=True)
            if start is not None:
                step = _info(start)["steps"]
                shutil.copytree(start / "last_state", output / "checkpoints" / f"checkpoint-{step}")
            events, stop = load("events"), load("watch").StopRequest()
            with events.Events(folder / "events.jsonl") as stream:
                said = events.StageEvents(stream, "train")
                settings = load("llm_settings").read_settings(folder / "config.json")
                load("train").run_train(folder, settings, output, events=said, stop=stop)
            return output

        whole, short = run("whole", 12), run("short", 5)
        long = run("long", 12, start=short)
    assert _info(long)["resumed_from_step"] == 5
    assert _weights(long) == _weights(whole) != _weights(short)
    assert _info(long)["checks"] == _info(whole)["checks"]
