"""The last state of a training goes from one run folder into another."""

import json
import math
from pathlib import Path

import pytest

from ftspec.lower.state import FOLDER, INPUTS, KEEP_STATE, begun, note_inputs, place_state, take_state
from ftspec.paths import shared_folder

KEY, OTHER = "sha256:1", "sha256:2"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "source")


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("weights.safetensors", "manifest.json", "COMPLETE"):
        (folder / name).write_text(name)
    return folder


def place(folder: Path, source: Path) -> bool:
    return place_state(
        folder,
        source,
        key=KEY,
        step=20,
        note=("extends.json", {"step": 20}),
        wanted=lambda path: str(path) != "manifest.json",
    )


def test_it_is_placed_where_the_program_looks(tmp_path: Path, source: Path) -> None:
    partial = tmp_path / "run" / "out" / "train.partial"
    assert place(tmp_path / "run", source)
    assert (partial / "KEY").read_text() == KEY
    assert json.loads((partial / "extends.json").read_text()) == {"step": 20}
    placed = partial / "checkpoints" / "checkpoint-20"
    assert sorted(path.name for path in placed.iterdir()) == ["COMPLETE", "weights.safetensors"]


def test_what_is_further_on_stays(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    partial = run / "out" / "train.partial"
    own = checkpoint(partial / "checkpoints" / "checkpoint-25")
    (partial / "KEY").write_text(KEY)
    assert not place(run, source)
    assert [path.name for path in own.parent.iterdir()] == ["checkpoint-25"]
    assert begun(run, KEY) == (partial, 25)
    assert begun(run, OTHER) is None

    (own / "COMPLETE").unlink()  # half written
    assert place(run, source)
    assert [path.name for path in own.parent.iterdir()] == ["checkpoint-20"]
    assert not place(run, source), "it is as far"
    (partial / "KEY").write_text(OTHER)
    assert place(run, source)


def test_what_is_less_far_goes_away(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    partial = run / "out" / "train.partial"
    own = checkpoint(partial / "checkpoints" / "checkpoint-9")
    (partial / "KEY").write_text(KEY)
    assert place(run, source)
    assert [path.name for path in own.parent.iterdir()] == ["checkpoint-20"]
    assert begun(run, KEY) == (partial, 20)


def test_a_finished_stage_is_left_alone(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    output = run / "out" / "train"
    output.mkdir(parents=True)
    (output / "DONE.json").write_text(json.dumps({"key": KEY}))
    assert begun(run, KEY) == (output, math.inf)
    assert not place(run, source)
    note_inputs(run, {"torch": "A"}, key=KEY, placed=False)
    assert not (run / "out" / "train.partial").exists()
    (output / "DONE.json").write_text(json.dumps({"key": OTHER}))
    assert place(run, source)


def finish(run: Path, target: Path) -> object:
    partial, output = run / "out" / "train.partial", run / "out" / "train"
    checkpoint(partial / FOLDER)
    partial.rename(output)
    taken = take_state(output, target)
    assert target.is_dir() == (taken is not None)
    assert not any((output / name).exists() for name in (FOLDER, INPUTS))
    return taken


@pytest.mark.parametrize(
    ("attempts", "taken"),
    [("A", "A"), ("AA", "A"), ("AB", None), ("ABA", None), ("ABB", None), ("?A", None)],
)
def test_a_state_is_called_by_what_all_of_its_attempts_had(
    tmp_path: Path, attempts: str, taken: str | None
) -> None:
    run = tmp_path / "run"
    for number, torch in enumerate(attempts):
        note_inputs(run, {"torch": torch}, key=KEY, placed=False)
        saved = checkpoint(run / "out" / "train.partial" / "checkpoints" / f"checkpoint-{number}")
        if torch == "?":  # one of an earlier version, which did not note it
            (saved.parents[1] / INPUTS).unlink()
    assert finish(run, tmp_path / "state") == (None if taken is None else {"torch": taken})


def test_an_attempt_without_a_checkpoint_does_not_count(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    note_inputs(run, {"torch": "A"}, key=KEY, placed=False)
    (run / "out" / "train.partial" / "half").write_text("written")
    note_inputs(run, {"torch": "B"}, key=KEY, placed=False)
    assert not (run / "out" / "train.partial" / "half").exists()
    assert place(run, source)
    note_inputs(run, {"torch": "C"}, key=KEY, placed=True)
    assert finish(run, tmp_path / "state") == {"torch": "C"}


def test_nothing_is_taken_where_nothing_whole_was_left(tmp_path: Path) -> None:
    run, target = tmp_path / "run", tmp_path / "state"
    note_inputs(run, {"torch": "A"}, key=KEY, placed=False)
    output = run / "out" / "train.partial"
    assert take_state(output, target) is None, "nothing was kept"
    note_inputs(run, {"torch": "A"}, key=KEY, placed=False)
    (checkpoint(output / FOLDER) / "COMPLETE").unlink()
    assert take_state(output, target) is None
    assert not target.exists()
    assert not (output / FOLDER).exists()


def test_the_programs_know_the_same_names() -> None:
    text = (shared_folder("backends") / "common" / "last_state.py").read_text(encoding="utf-8")
    assert f'KEEP = "{KEEP_STATE}"' in text
    assert f'FOLDER = "{FOLDER}"' in text
