"""Promotion between runs that held out other rows: the present model is asked again, once."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import SPEC, apply, ftspec, ftspec_json, sql, write_project

pytestmark = pytest.mark.slow

# What is asked of v1 and v2 is that they differ, not that either is good: how well a model does that hardly
# learned is left to the machine's arithmetic.
QUICK = (
    SPEC.replace("max_steps: 200", "max_steps: 60\n  checks: {collapse: off, rising_loss: off}")
    .replace("resamples: 100000", "resamples: 2000")
    .replace("min: 0.05, min_gain: -1", "min_gain: -1")
)


@pytest.fixture(scope="module")
def project(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 hardly learned; v2 did, on another split; v1 is in production."""
    folder = write_project(tmp_path_factory.mktemp("promote") / "project", tiny_model, QUICK)
    changes = ("--set", "data.split.seed=5", "--set", "data.split.test=0.5")
    assert apply(folder, "--set", "train.learning_rate=1e-7")["verdict"] == "passed"
    assert apply(folder, *changes)["verdict"] == "passed"
    ftspec("promote", "tiny@v1", "--to", "production", "--yes", cwd=folder)
    return folder


def test_the_present_model_is_encoded_again_once(project: Path) -> None:
    promote = ("promote", "tiny@v2", "--to", "production", "--yes", "--format", "json")
    refused = ftspec(*promote, cwd=project, exits=None)
    assert "running tiny v1 on the held-out side of the candidate, once" in refused.stderr
    document = json.loads(refused.stdout)
    assert document["basis"] == "comparison"
    assert "FTS684" in [each["code"] for each in document["problems"]]
    assert "FTS805" in [each["code"] for each in document["problems"]]  # v1 knows some of these rows
    compared = document["comparison"]
    assert 6 <= compared["queries"] < 30
    assert not (project / ".ftspec" / "promote").exists() or not any(
        (project / ".ftspec" / "promote").iterdir()
    )

    done = ftspec(*promote, "--allow-space-break", "--allow-inconclusive", cwd=project)
    assert "running" not in done.stderr
    document = json.loads(done.stdout)
    assert document["promoted"]
    assert document["comparison"] == compared
    assert sql("select version from promotions order by number", project) == [
        {"version": "v1"},
        {"version": "v2"},
    ]
    assert "agree" in ftspec("state", "verify", cwd=project).stdout


def test_what_is_in_production_answers_and_stays(project: Path) -> None:
    ftspec("rollback", "tiny", "--to", "production", "--yes", cwd=project)
    hits = ftspec_json("query", "tiny", "find file red", "--environment", "production", cwd=project)
    assert hits["version"] == "v1"
    collected = ftspec_json("gc", "--keep", "1", "--yes", cwd=project)
    assert [item for item in collected["items"] if item["kind"] in ("model", "run")] == []
    assert ftspec_json("query", "tiny", "find file red", "--environment", "production", cwd=project) == hits
    assert "agree" in ftspec("state", "verify", cwd=project).stdout
