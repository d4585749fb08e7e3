"""A run folder runs where ftspec is not installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.harness import SECONDS, environment

pytestmark = pytest.mark.slow

OUTPUT = ("out", "model", "scratch", "record.json", "events.jsonl", "trainer.log", ".lock")

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


def test_it_trains_without_ftspec(finished: Finished, tmp_path: Path) -> None:
    source = finished.folder / ".ftspec/runs" / finished.result["run_id"]
    folder = tmp_path / "else where"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*OUTPUT))
    (tmp_path / "block").mkdir()
    (tmp_path / "block/sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    variables = environment({"PYTHON": sys.executable, "PYTHONPATH": os.fspath(tmp_path / "block")})

    blocked = subprocess.run(
        [sys.executable, "-c", "import ftspec"], env=variables, capture_output=True, check=False
    )
    assert blocked.returncode == 1
    assert b"No module named 'ftspec'" in blocked.stderr

    done = subprocess.run(
        ["bash", folder / "launch.sh"],
        cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    trained = folder / "out/train/model"
    assert (trained / "modules.json").is_file()
    assert (folder / "out/encode_tuned/queries.npy").is_file()
    registered = Path(finished.result["model_path"])
    assert (trained / "model.safetensors").read_bytes() == (registered / "model.safetensors").read_bytes()
