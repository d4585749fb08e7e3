"""A run folder runs where ftspec is not installed: that of an apply, and one that was ejected."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.harness import SECONDS, environment, ftspec
from tests.tiny_llm import make_tiny_llm

pytestmark = pytest.mark.slow

OUTPUT = ("out", "model", "scratch", "record.json", "events.jsonl", "trainer.log", ".lock")

LLM_SPEC = """\
apiVersion: ftspec/v1
kind: LLM
metadata: {name: tiny}
model: {base: ./model, max_seq_length: 64}
adapter: {type: lora, r: 4, alpha: 8}
data:
  train:
    - {type: completion, path: rows.jsonl, roles: {prompt: question, completion: answer}}
  split: {by: random, test: 0.2}
train: {global_batch_size: 4, max_steps: 3, learning_rate: 1.0e-3}
evaluation: {generate_rows: 2, max_new_tokens: 4}
resources: {backend: trl, device: cpu}
"""

# Python imports this before anything else.
BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ftspec":
            raise ModuleNotFoundError("No module named 'ftspec'", name="ftspec")
        return None

sys.meta_path.insert(0, Block())
"""


def launch(folder: Path, scratch: Path) -> None:
    """Run the folder in an interpreter that finds no ftspec."""
    (scratch / "block").mkdir()
    (scratch / "block/sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    variables = environment({"PYTHON": sys.executable, "PYTHONPATH": os.fspath(scratch / "block")})

    blocked = subprocess.run(
        [sys.executable, "-c", "import ftspec"], env=variables, capture_output=True, check=False
    )
    assert blocked.returncode == 1
    assert b"No module named 'ftspec'" in blocked.stderr

    done = subprocess.run(
        ["bash", folder / "launch.sh"],
        cwd=scratch, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


def same_model_as_registered(folder: Path, finished: Finished) -> None:
    trained = folder / "out/train/model"
    assert (trained / "modules.json").is_file()
    assert (folder / "out/encode_tuned/queries.npy").is_file()
    registered = Path(finished.result["model_path"])
    assert (trained / "model.safetensors").read_bytes() == (registered / "model.safetensors").read_bytes()


def test_it_trains_without_ftspec(finished: Finished, tmp_path: Path) -> None:
    source = finished.folder / ".ftspec/runs" / finished.result["run_id"]
    folder = tmp_path / "else where"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*OUTPUT))
    launch(folder, tmp_path)
    same_model_as_registered(folder, finished)


def test_an_ejected_folder_makes_the_model_of_apply(finished: Finished, copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ejected here"
    said = ftspec("eject", "spec.yaml", "--to", folder, cwd=copied)
    assert said.stdout.startswith(f"wrote {folder} for accelerate: all ")
    assert not (folder / "out").exists(), "what is stored is not handed out as done"
    launch(folder, tmp_path)
    same_model_as_registered(folder, finished)


def test_an_ejected_llm_trains_and_is_scored(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_tiny_llm(project / "model")
    rows = [{"question": f"what is {number}?", "answer": f"it is {number}"} for number in range(40)]
    (project / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (project / "spec.yaml").write_text(LLM_SPEC, encoding="utf-8")
    folder = tmp_path / "run"
    ftspec("eject", "spec.yaml", "--to", folder, cwd=project)
    launch(folder, tmp_path)
    assert (folder / "out/train/model/model.safetensors").is_file()
    scored = (folder / "out/score_tuned/losses.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(scored) == len((folder / "data/test.jsonl").read_text(encoding="utf-8").splitlines())
