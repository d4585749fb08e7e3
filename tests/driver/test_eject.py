"""`ftspec eject`: a run folder for others, made of whole data, that asks nothing of ftspec."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.paths import shared_folder
from ftspec.plan.text import plan_from_json
from tests.tiny_llm import make_tiny_llm

SPEC = """\
apiVersion: ftspec/v1
kind: LLM
metadata: {name: tiny-chat}
model: {base: ./model, max_seq_length: 128}
adapter: {type: lora, r: 4, alpha: 8}
data:
  train:
    - {type: chat, path: rows.jsonl, roles: {messages: messages}}
  split: {by: random, test: 0.2, validation: 0.1}
train: {global_batch_size: 8, max_steps: 6, learning_rate: 1.0e-3}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_tiny_llm(tmp_path / "model")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"what is {number}?"},
                {"role": "assistant", "content": f"it is {number * 2}"},
            ]
        }
        for number in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ftspec(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def eject(*arguments: str) -> dict[str, Any]:
    code, out, err = ftspec("eject", *arguments, "--format", "json")
    assert code == 0, out + err
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


AXOLOTL = ("spec.yaml", "--hardware", "rtx4090", "--set", "resources.backend=axolotl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_of_all_steps_with_our_tokens_in_our_order(project: Path) -> None:
    sys.path[:0] = [str(shared_folder("backends") / "common")]
    try:
        from order import training_order
    finally:
        del sys.path[0]
    result = eject(*AXOLOTL, "--to", "out side/run")
    folder = project / "out side" / "run"
    assert result["folder"] == str(folder)
    assert result["backend"] == "axolotl"
    assert result["command"] == ["bash", "launch.sh"]
    plan, found = plan_from_json((folder / "plan.json").read_text(encoding="utf-8"), name="plan")
    assert plan is not None, [*found]
    assert subprocess.run(["bash", "-n", folder / "launch.sh"], check=False).returncode == 0
    bare = {"PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-I", "-c", ""], check=True)
    subprocess.run([sys.executable, "-S", folder / "prepare.py"], cwd="/", env=bare, check=True)

    source = lines(folder / "data" / "train.jsonl")
    order = training_order(len(source), plan.train.seed, 6 * 8)
    prepared = lines(folder / "prepared" / "train.jsonl")
    assert [row["input_ids"] for row in prepared] == [source[index]["input_ids"] for index in order]
    for row, index in zip(prepared, order, strict=True):
        assert row["attention_mask"] == [1] * len(row["input_ids"])
        assert [label != -100 for label in row["labels"]] == [mask == 1 for mask in source[index]["mask"]]
        assert all(
            label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True)
        )
    assert len(lines(folder / "prepared" / "validation.jsonl")) == len(
        lines(folder / "data/validation.jsonl")
    )


def test_launch_runs_what_it_says(project: Path) -> None:
    eject(*AXOLOTL, "--to", "run")
    stub = project / "bin" / "axolotl"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\necho "$AXOLOTL_DO_NOT_TRACK|$*" >> called.txt\n', encoding="utf-8")
    stub.chmod(0o755)
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", project / "run" / "launch.sh"],
        env={"PATH": path, "PYTHON": sys.executable},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (project / "run" / "called.txt").read_text(encoding="utf-8").splitlines() == [
        "1|preprocess axolotl.yml",
        "1|train axolotl.yml --launcher torchrun -- --standalone --nproc_per_node=1",
        "1|merge-lora axolotl.yml",
    ]


def test_data_is_made_once_and_shared_with_apply(project: Path) -> None:
    eject(*AXOLOTL, "--to", "one")
    made = {
        path: path.stat().st_mtime_ns for path in (project / ".ftspec" / "artifacts").rglob("manifest.json")
    }
    assert len(made) == 3
    eject(*AXOLOTL, "--to", "two")
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert (project / "one" / "axolotl.yml").read_bytes() == (project / "two" / "axolotl.yml").read_bytes()
    assert not [
        *project.glob(".ftspec/eject-*"),
        *project.glob(".partial-*"),
        *project.glob(".ftspec/runs/*"),
    ]


def test_a_saved_plan_for_another_machine_is_written_as_reviewed(project: Path) -> None:
    assert ftspec("plan", *AXOLOTL, "--out", "change.ftplan")[0] == 0
    saved = json.loads((project / "change.ftplan").read_text(encoding="utf-8"))
    assert eject("change.ftplan", "--to", "run")["plan_digest"] == saved["digest"]
    assert ftspec("eject", "change.ftplan", "--to", "other", "--set", "train.seed=3")[0] == 64
    with (project / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            lines(project / "rows.jsonl")[0].__repr__().replace("'", '"').replace("what", "who") + "\n"
        )
    code, _, err = ftspec("eject", "change.ftplan", "--to", "other")
    assert code == 3, err
    assert not (project / "other").exists()


def test_fts503_files_of_the_user_stay(project: Path) -> None:
    (project / "mine").mkdir()
    (project / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    (project / "link").symlink_to(project / "mine")
    (project / "file").write_text("mine", encoding="utf-8")
    for place in ("mine", "link"):
        code, _, err = ftspec("eject", *AXOLOTL, "--to", place)
        assert (code, "error[FTS503]" in err) == (1, True)
    assert ftspec("eject", *AXOLOTL, "--to", "file")[0] == 64
    assert [path.name for path in (project / "mine").iterdir()] == ["notes.txt"]
    (project / "empty").mkdir()
    eject(*AXOLOTL, "--to", "empty")
    assert (project / "empty" / "launch.sh").is_file()


def test_fts504_apply_names_eject(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = project / "backends" / "emitter"
    shutil.copytree(shared_folder("backends") / "axolotl", backend)
    text = (backend / "target.yaml").read_text(encoding="utf-8")
    text = text.replace("name: axolotl", "name: emitter").replace("devices: [cuda]", "devices: [cpu]")
    (backend / "target.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("FTSPEC_BACKEND_PATH", str(backend.parent))
    code, out, err = ftspec("apply", "spec.yaml", "--set", "resources.backend=emitter")
    assert code == 1
    assert "error[FTS504]" in err
    assert "ftspec eject SPEC --to FOLDER" in err
    assert not out, "nothing is asked"
    assert not (project / ".ftspec" / "runs").exists()


def test_what_the_backend_cannot_do_is_refused_with_who_can(project: Path) -> None:
    code, _, err = ftspec("plan", *AXOLOTL, "--set", "train.checks.divergence=warn")
    assert code == 1
    assert "error[FTS402]" in err
    assert '`train.checks.divergence` is "warn"; axolotl: Nothing judges the loss' in err
    assert "`trl`" in err
    code, out, _ = ftspec("plan", *AXOLOTL, "--set", "train.checks.divergence=off")
    assert code == 0
    assert "impossible   train.checks.rising_loss: Nothing judges the loss" in out
