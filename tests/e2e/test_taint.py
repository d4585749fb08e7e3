"""Inputs that change while a run goes on. The run is the real one; an event of its programs is the moment at
which somebody edits a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.driver.running import Run
from ftspec.run.events import Event
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.registry import list_models
from ftspec.store.run_record import all_records
from tests.e2e.harness import SPEC, rows, write_project, write_rows

pytestmark = pytest.mark.slow

QUICK = (
    SPEC.replace("max_steps: 200", "max_steps: 80")
    .replace("resamples: 100000", "resamples: 200")
    .replace("min: 0.05, min_gain: -1", "min_gain: -1")
)


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_project(tmp_path / "project", tiny_model, QUICK)
    monkeypatch.chdir(folder)
    Project(folder).create()  # else state of a folder above would be taken
    return folder


def ftspec(*arguments: str, exits: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": "140"}).invoke(cli, list(arguments))
    assert result.exit_code == exits, result.output
    return result.output


def apply(**expected: Any) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["apply", "spec.yaml", "--yes", "--format", "json"])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    for name, value in expected.items():
        assert document[name] == value, document
    return document


def edit_during(
    monkeypatch: pytest.MonkeyPatch, stage: str, edit: Callable[[], None], *, event: str = "end"
) -> None:
    """Call `edit` once, at an event of a stage."""
    watch, done = Run.watch, []

    def watching(run: Run, seen: Event) -> None:
        if (seen.stage, seen.event) == (stage, event) and not done:
            done.append(seen)
            edit()
        watch(run, seen)

    monkeypatch.setattr(Run, "watch", watching)


def flip_weights(folder: Path) -> None:
    path = folder / "tiny/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def stages(document: str) -> dict[str, str]:
    return {stage["name"]: stage["action"] for stage in json.loads(document)["stages"]}


def test_data_edited_during_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (folder / "rows.jsonl").read_bytes()
    edit_during(monkeypatch, "train", lambda: write_rows(folder / "rows.jsonl", rows()[:-1]))
    result = apply(verdict="passed")
    (moved,) = result["tainted"]
    assert moved.startswith("data source rows.jsonl: ")
    project = Project(folder)

    # Told everywhere: record, ledger, list, card, registered version.
    (record,) = all_records(project)[0]
    assert record.tainted == (moved,)
    with Ledger(project).read() as db:
        assert json.loads(db.execute("SELECT tainted FROM runs").fetchall()[0][0]) == [moved]
    assert "passed, tainted" in ftspec("runs")
    (model,) = list_models(project)
    assert (model.tainted, model.current) == ((moved,), False)
    assert "Tainted" in (model.path / "README.md").read_text(encoding="utf-8")
    assert json.loads((model.path / "ftspec.json").read_text(encoding="utf-8"))["tainted"] == [moved]
    assert "(tainted)" in ftspec("models", "list")

    # What was read before the edit is good: with the data back, only the registration is repeated.
    (folder / "rows.jsonl").write_bytes(kept)
    actions = stages(ftspec("plan", "spec.yaml", "--format", "json"))
    assert [name for name, action in actions.items() if action == "run"] == ["register"]
    again = apply(verdict="passed", tainted=[])
    assert again["model"] == {"name": "tiny", "version": "v2"}
    first, second = list_models(project)
    assert (first.current, second.current, second.tainted) == (False, True, ())
    apply(verdict="unchanged", tainted=[])


def test_model_edited_during_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (folder / "tiny/model.safetensors").read_bytes()
    edit_during(monkeypatch, "train", lambda: flip_weights(folder), event="start")
    result = apply(verdict="passed")
    (moved,) = result["tainted"]
    assert moved.startswith("base model ./tiny: ")
    (folder / "tiny/model.safetensors").write_bytes(kept)
    actions = stages(ftspec("plan", "spec.yaml", "--format", "json"))
    assert actions["split"] == "reuse"
    repeated = {name for name, action in actions.items() if action == "run"}
    assert repeated == {"encode_base", "train", "encode_tuned", "evaluate", "gate", "register"}
    assert "an input changed while it was made" in ftspec("plan", "spec.yaml")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    apply(verdict="passed", tainted=[])
    assert set(stages(ftspec("plan", "spec.yaml", "--format", "json")).values()) == {"reuse"}


def test_spec_edited_during_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "spec.yaml"

    def comment() -> None:
        path.write_text("# a thought\n" + path.read_text(encoding="utf-8"), encoding="utf-8")

    edit_during(monkeypatch, "train", comment)
    apply(verdict="passed", tainted=[])

    def change() -> None:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"), encoding="utf-8")

    path.write_text(path.read_text(encoding="utf-8").replace("resamples: 200", "resamples: 300"))
    edit_during(monkeypatch, "evaluate", change)
    (moved,) = apply()["tainted"]
    assert moved.startswith("spec spec.yaml: ")
    assert [model.current for model in list_models(Project(folder))] == [True, False]


def test_data_edited_while_it_is_read_costs_no_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_during(monkeypatch, "ingest", lambda: write_rows(folder / "rows.jsonl", rows()[:-1]))
    said = ftspec("apply", "spec.yaml", "--yes", exits=3)
    assert "FTS602" in said
    assert "rows.jsonl" in said
    assert not list(folder.glob(".ftspec/artifacts/ingest/*"))
    assert not list(folder.glob(".ftspec/artifacts/train/*"))


def test_data_edited_while_a_person_thinks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftspec.cli import apply as command

    def think() -> None:
        (folder / "rows.jsonl").unlink()

    monkeypatch.setattr(command, "_confirm", think)
    said = ftspec("apply", "spec.yaml", exits=3)
    assert "FTS602" in said
    assert "rows.jsonl" in said
    assert "cannot be read" in said
    assert not (folder / ".ftspec/runs").exists()
