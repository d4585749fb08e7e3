"""The whole way with a real model: an example spec on all-MiniLM-L6-v2."""

import shutil
from pathlib import Path

import pytest

from ftspec.paths import shared_folder
from tests.e2e.harness import apply, ftspec_json

EXITS = {"passed": 0, "failed": 5, "inconclusive": 6}


@pytest.mark.e2e
@pytest.mark.slow
def test_pairs(tmp_path: Path) -> None:
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    spec = "specs/pairs.yaml"
    one_thread = ("--set", "resources.limits.threads=1")
    result = apply(tmp_path, *one_thread, subject=spec, exits=None)
    assert result["metrics"]["base"]["mrr@10"] > 0.3
    assert result["metrics"]["tuned"]["mrr@10"] > 0.3
    assert Path(result["model_path"], "model.safetensors").stat().st_size > 80_000_000
    assert (result["model"] is not None) == (result["verdict"] == "passed")
    again = apply(tmp_path, *one_thread, subject=spec, exits=EXITS[result["verdict"]])
    assert again["verdict"] == "unchanged"
    shown = ftspec_json("eval", result["run_id"], cwd=tmp_path)
    assert shown["run_id"] == result["run_id"]
