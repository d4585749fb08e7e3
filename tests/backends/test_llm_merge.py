"""merge.py: an adapter that was trained unmerged becomes a whole model, without training anything again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.llm_common import finish_run, make_llm_run_folder, read_info
from tests.tiny_llm import make_tiny_llm


@pytest.mark.parametrize("backend", ["trl", "mlx"])
def test_an_adapter_is_merged_later(tmp_path: Path, backend: str) -> None:
    base = make_tiny_llm(tmp_path / "base")
    export = {"merge": False, "dtype": "fp32"}
    train = {"total_steps": 2, "save_steps": 2, "logging_steps": 1}
    folder = make_llm_run_folder(tmp_path / "run", backend, base, export=export, train=train)
    assert finish_run(folder, "--stages", "train") == 0, (folder / "trainer.log").read_text()
    assert not (folder / "out/train/model").exists()
    assert read_info(folder, "train")["parity"] is None

    config = json.loads((folder / "config.json").read_text())
    config["export"]["merge"] = True
    (folder / "config.json").write_text(json.dumps(config))
    target = tmp_path / "merged"
    shutil.copytree(folder / "out/train/adapter", target / "adapter")
    found = subprocess.run(
        [sys.executable, str(folder / "merge.py"), str(target)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    parity = json.loads(found.stdout.splitlines()[-1])
    assert parity["max_abs_logit_difference"] <= parity["tolerance"]
    assert parity["argmax_agreement"] == 1
    assert (target / "model/model.safetensors").is_file()
    assert (target / "model/config.json").is_file()

    # The adapter has learned something: the weights are not those of the base.
    from safetensors.numpy import load_file

    weights, before = load_file(target / "model/model.safetensors"), load_file(base / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert weights[name].shape == before[name].shape
    assert abs(weights[name] - before[name]).max() > 1e-4
