"""The benchmark of RAFT rows in its quick form: a random decoder on SQuAD passages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import SECONDS, environment

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY.parent / "shared" / "data" / "squad-dev"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real set is not here")
def test_a_random_decoder_begins_to_answer_in_form() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / "raft" / "run.py", "--quick", "--format", "json"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    metrics = json.loads(done.stdout)["numbers"]["metrics"]
    assert metrics["loss"]["gain"]["low"] > 0
    assert metrics["loss"]["tuned"] < metrics["loss"]["base"]
    assert metrics["answer_form"]["base"] == 0, "random weights write no mark"
    assert metrics["answer_form"]["tuned"] > 0
