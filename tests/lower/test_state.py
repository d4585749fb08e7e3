"""The last state of a training goes from one run folder into another."""

import json
from pathlib import Path

import pytest

from ftspec.lower.state import FOLDER, KEEP_STATE, place_state, take_state
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

    (own / "COMPLETE").unlink()  # half written
    assert place(run, source)
    assert [path.name for path in own.parent.iterdir()] == ["checkpoint-20"]
    (partial / "KEY").write_text(OTHER)
    assert place(run, source)


def test_a_finished_stage_is_left_alone(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    output = run / "out" / "train"
    output.mkdir(parents=True)
    (output / "DONE.json").write_text(json.dumps({"key": KEY}))
    assert not place(run, source)
    assert not (run / "out" / "train.partial").exists()
    (output / "DONE.json").write_text(json.dumps({"key": OTHER}))
    assert place(run, source)


def test_it_is_taken_out_of_an_output(tmp_path: Path) -> None:
    output, target = tmp_path / "out" / "train", tmp_path / "scratch" / "state"
    assert not take_state(output, target), "nothing was kept"
    checkpoint(output / FOLDER)
    assert take_state(output, target)
    assert (target / "weights.safetensors").is_file()
    assert not (output / FOLDER).exists()
    (checkpoint(output / FOLDER) / "COMPLETE").unlink()
    assert not take_state(output, target)
    assert not target.exists()
    assert not (output / FOLDER).exists()


def test_the_programs_know_the_same_names() -> None:
    text = (shared_folder("backends") / "common" / "last_state.py").read_text(encoding="utf-8")
    assert f'KEEP = "{KEEP_STATE}"' in text
    assert f'FOLDER = "{FOLDER}"' in text
