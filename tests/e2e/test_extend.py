"""A longer training goes on from a finished one, ends in the same bytes, and says so; or it says why not."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftspec.paths import shared_folder
from tests.e2e.harness import SPEC, Applying, apply, ftspec, ftspec_json, write_project

pytestmark = pytest.mark.slow

CONSTANT = SPEC.replace("max_steps: 200", "max_steps: 20").replace(
    "learning_rate: 1.0e-3", "learning_rate: 1.0e-3\n  lr_scheduler_type: constant"
)
LONGER = ("--set", "train.max_steps=30")


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    folder: Path
    run_id: str


@pytest.fixture(scope="module")
def short(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Short:
    """A project with a finished training of 20 steps. Copy it."""
    folder = write_project(tmp_path_factory.mktemp("extend") / "project", tiny_model, CONSTANT)
    return Short(folder=folder, run_id=apply(folder, exits=None)["run_id"])


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of 30 steps, trained from the start in a project of its own."""
    folder = write_project(tmp_path_factory.mktemp("whole") / "project", tiny_model, CONSTANT)
    result = apply(folder, *LONGER, exits=None)
    assert (result["extended_from"], result["resumed_from_step"]) == (None, None)
    return weights(result)


@pytest.fixture
def project(short: Short, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(short.folder, folder, symlinks=True)
    return folder


def weights(result: dict[str, Any]) -> bytes:
    return (Path(result["model_path"]) / "model.safetensors").read_bytes()


def seconds(plan: dict[str, Any]) -> float:
    return float(plan["estimates"]["stage_seconds"]["train"])


def train_stage(plan: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(stage for stage in plan["stages"] if stage["name"] == "train")
    return found


def test_it_goes_on_where_the_shorter_one_ended(project: Path, short: Short, whole: bytes) -> None:
    extended = {"run_id": short.run_id, "step": 20}
    longer = ftspec_json("plan", "spec.yaml", *LONGER, cwd=project)
    assert longer["extends"] == extended
    assert (train_stage(longer)["action"], train_stage(longer)["reason"]) == ("run", "extends")
    shown = ftspec("plan", "spec.yaml", *LONGER, cwd=project, env={"COLUMNS": "120"}).stdout
    assert f"goes on from step 20 of run {short.run_id} (extend)" in shown
    assert (
        "goes on from step 20"
        in ftspec("plan", "spec.yaml", *LONGER, "--format", "markdown", cwd=project).stdout
    )

    done = ftspec("apply", "spec.yaml", *LONGER, "--yes", "--format", "json", cwd=project, exits=None)
    *events, result = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["step"] for each in events if each["event"] == "resumed"] == [20]
    assert (result["extended_from"], result["resumed_from_step"]) == (extended, 20)
    assert weights(result) == whole

    state = project / ".ftspec"
    record = json.loads((state / "runs" / result["run_id"] / "record.json").read_text())
    assert record["extended_from"] == extended
    assert train_stage(record)["reason"] == "extends"
    card = (Path(result["model_path"]) / "README.md").read_text()
    assert "**Extended from step 20.**" in card
    assert json.loads((Path(result["model_path"]) / "ftspec.json").read_text())["extended_from"] == extended
    again = apply(project, *LONGER, exits=None)
    assert (again["verdict"], again["extended_from"]) == ("unchanged", extended)
    ftspec("state", "verify", cwd=project)

    # The state of 30 steps took the place of that of 20, is nearer to 40, and is one that gc keeps.
    farther = ftspec_json("plan", "spec.yaml", "--set", "train.max_steps=40", cwd=project)
    assert farther["extends"] == {"run_id": result["run_id"], "step": 30}
    assert len(list((state / "artifacts" / "last_state").iterdir())) == 1
    ftspec("gc", "--yes", cwd=project)
    assert len(list((state / "artifacts" / "last_state").iterdir())) == 1
    assert (
        ftspec_json("plan", "spec.yaml", "--set", "train.max_steps=40", cwd=project)["extends"]
        == farther["extends"]
    )


def test_the_estimate_is_that_of_the_rest(project: Path) -> None:
    longer = ftspec_json("plan", "spec.yaml", *LONGER, cwd=project)
    shutil.rmtree(project / ".ftspec/artifacts/last_state")
    assert seconds(longer) == pytest.approx(
        seconds(ftspec_json("plan", "spec.yaml", *LONGER, cwd=project)) / 3
    )


def test_a_falling_curve_is_another_training(project: Path) -> None:
    changes = (*LONGER, "--set", "train.lr_scheduler_type=linear")
    done = ftspec("plan", "spec.yaml", *changes, "--format", "json", cwd=project)
    assert json.loads(done.stdout)["extends"] is None
    assert "FTS688" not in done.stderr
    spec = project / "linear.yaml"
    spec.write_text(CONSTANT.replace("constant", "linear").replace("max_steps: 20", "max_steps: 30"))
    found = ftspec_json("diff", "spec.yaml", "linear.yaml", cwd=project)
    assert "curve" in {each["obstacle"] for each in found["continuation"]["refused"]}


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_without_its_state_it_begins_at_its_start(
    project: Path, short: Short, whole: bytes, harm: str
) -> None:
    (state,) = (project / ".ftspec/artifacts/last_state").iterdir()
    if harm == "gone":
        shutil.rmtree(state)
    else:
        (state / "weights.safetensors").write_bytes(b"half")
    done = ftspec("apply", "spec.yaml", *LONGER, "--yes", "--format", "json", cwd=project, exits=None)
    assert "FTS688" in done.stderr
    assert short.run_id in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["extended_from"], result["resumed_from_step"]) == (None, None)
    assert weights(result) == whole


def test_a_state_that_was_altered_is_not_used(project: Path, whole: bytes) -> None:
    """The plan looks at sizes; apply reads every byte, and says that it is not as planned."""
    (state,) = (project / ".ftspec/artifacts/last_state").iterdir()
    path = state / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = ftspec("apply", "spec.yaml", *LONGER, "--yes", "--format", "json", cwd=project, exits=None)
    *events, result = [json.loads(line) for line in done.stdout.splitlines()]
    (warning,) = [each for each in events if each.get("code") == "FTS688"]
    assert "altered" in warning["detail"]
    assert result["extended_from"] is None
    assert weights(result) == whole


def test_nothing_is_kept_where_no_longer_training_can_begin_like_it(tiny_model: Path, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", tiny_model, CONSTANT.replace("constant", "linear"))
    apply(folder, exits=None)
    assert not (folder / ".ftspec/artifacts/last_state").exists()
    assert not list((folder / ".ftspec").rglob("last_state"))


def test_a_killed_one_goes_on_from_its_own_checkpoint(project: Path, short: Short) -> None:
    spec = project / "spec.yaml"
    spec.write_text(spec.read_text().replace("max_steps: 20", "max_steps: 400"))
    attempt = Applying(project)
    assert attempt.wait_for_event("train", "resumed")["step"] == 20
    attempt.wait_for_event("train", "checkpoint")
    attempt.kill_all()
    result = apply(project, exits=None)
    assert result["extended_from"] == {"run_id": short.run_id, "step": 20}
    assert result["resumed_from_step"] >= 40


def test_the_difference_says_what_apply_will_do(project: Path, short: Short) -> None:
    (project / "longer.yaml").write_text(CONSTANT.replace("max_steps: 20", "max_steps: 30"))
    found = ftspec_json("diff", "spec.yaml", "longer.yaml", cwd=project)
    assert (found["category"], found["continuation"]["form"]) == ("extend", "extend")
    assert found["continuation"]["extends"] == {"run_id": short.run_id, "step": 20}
    wide = {"COLUMNS": "160"}
    shown = ftspec("diff", "spec.yaml", "longer.yaml", cwd=project, env=wide).stdout
    assert f"apply goes on from step 20 of run {short.run_id}" in shown
    shutil.rmtree(project / ".ftspec/artifacts/last_state")
    shown = ftspec("diff", "spec.yaml", "longer.yaml", cwd=project, env=wide).stdout
    assert "apply trains from the start all the same" in shown


def test_a_language_model_is_extended_too(tmp_path: Path) -> None:
    wishes = ("--set", "train.lr_scheduler_type=constant", "--set", "resources.backend=trl",
              "--set", "resources.limits.threads=1", "--set", "train.num_train_epochs")  # fmt: skip
    results = []
    for name, lengths in (("project", (1, 2)), ("whole", (2,))):
        shutil.copytree(shared_folder("specs"), tmp_path / name)
        (tmp_path / name / ".ftspec").mkdir()
        for epochs in lengths:
            *given, last = wishes
            more = (*given, f"{last}={epochs}")
            results.append(apply(tmp_path / name, *more, subject="llm-completion.yaml", exits=None))
    short, long, whole = results
    assert long["extended_from"] == {"run_id": short["run_id"], "step": long["resumed_from_step"]}
    assert whole["extended_from"] is None
    assert weights(short) != weights(long) == weights(whole)
    assert long["metrics"] == whole["metrics"]
