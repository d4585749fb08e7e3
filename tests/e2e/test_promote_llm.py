"""A language model in production is asked the rows that another run held out, and today's, by the program that
trained it."""

import json
import shutil
from pathlib import Path

import pytest

from ftspec.paths import shared_folder
from tests.e2e.harness import apply, ftspec, ftspec_json, sql

pytestmark = pytest.mark.slow

SPEC = "llm-completion.yaml"
# Whatever hardly trained models lose against each other is allowed: none of them is good.
HALF = ("--set", "data.split.test=0.5")
SETTINGS = """\
gates:
  loss: {min_gain: -1000}
resources:
  backend: trl
  limits: {threads: 1}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1, in production, and v2 of another split."""
    folder = tmp_path_factory.mktemp("promote-llm") / "project"
    shutil.copytree(shared_folder("specs"), folder)
    (folder / ".ftspec").mkdir()
    text = (folder / SPEC).read_text(encoding="utf-8").replace("num_train_epochs: 4", "max_steps: 4")
    (folder / SPEC).write_text(text.replace("max_new_tokens: 16", "max_new_tokens: 2") + SETTINGS)
    assert apply(folder, *HALF, subject=SPEC)["verdict"] == "passed"
    ftspec("promote", "llm-completion", "--to", "production", "--yes", cwd=folder)
    assert apply(folder, *HALF, "--set", "data.split.seed=5", subject=SPEC)["model"]["version"] == "v2"
    return folder


def test_the_present_model_is_scored_on_the_held_out_side_of_the_candidate(project: Path) -> None:
    scored = len(list((project / ".ftspec" / "artifacts" / "score_base").iterdir()))
    done = ftspec(
        "promote", "llm-completion@v2", "--to", "production", "--yes", "--format", "json", cwd=project
    )
    assert "running llm-completion v1 on the held-out side of the candidate, once" in done.stderr
    document = json.loads(done.stdout)
    assert (document["promoted"], document["basis"], document["verdict"]) == (True, "comparison", "passed")
    assert "FTS805" in [each["code"] for each in document["problems"]]  # v1 knows some of these rows
    told = {metric["metric"]: metric for metric in document["comparison"]["metrics"]}
    assert told.keys() == {"loss", "token_f1"}
    measured = document["promotion"]["measured"]
    assert (measured["metric"], measured["gain"]) == ("loss", told["loss"]["gain"]["mean"])
    assert len(list((project / ".ftspec" / "artifacts" / "score_base").iterdir())) == scored + 1
    assert sql("select version, basis from promotions order by number", project) == [
        {"version": "v1", "basis": "registered"}, {"version": "v2", "basis": "comparison"},
    ]  # fmt: skip
    assert "agree" in ftspec("state", "verify", cwd=project).stdout

    back = ftspec_json("rollback", "llm-completion", "--to", "production", "--yes", cwd=project)
    assert (back["promotion"]["version"], back["breaks_space"]) == ("v1", False)
    again = ftspec_json("promote", "llm-completion@v2", "--to", "production", "--yes", cwd=project)
    assert again["comparison"] == document["comparison"], "the same question is answered once"


def test_behaviour_on_newer_rows(project: Path) -> None:
    """What is in use is v2, current and in production; its gates are asked on today's held-out side."""
    data = project / "data" / "http-pairs.jsonl"
    first = json.loads(data.read_text(encoding="utf-8").splitlines()[0])
    newer = [{**first, "question": f"What is zebra {number}?"} for number in range(20)]
    with data.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in newer)
    told = ftspec_json("drift", SPEC, "--behaviour", cwd=project)
    (model,) = told["models"]
    assert model["version"] == "v2"
    assert any("passes its gates" in note for note in model["notes"]), model
    assert any("left out: the model was trained on them" in note for note in model["notes"]), model
