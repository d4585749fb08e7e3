"""The example workflows, run: specs at fault stop no others, what was made is kept whatever a gate says, and new
data trains although the lock cannot state it."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import SPEC, ftspec, sql, write_project, write_rows
from tests.e2e.harness import rows as made_rows
from tests.gitops.conftest import Repository
from tests.gitops.github_server import github as server_like_github
from tests.gitops.runner import Hosted
from tests.tiny_model import make_tiny_model

GITHUB = Path(__file__).resolve().parent.parent.parent / ".github"
EXAMPLES = GITHUB / "workflows-examples"
APPLY, SCHEDULED, PLAN = (str(EXAMPLES / f"ftspec-{name}.yml") for name in ("apply", "scheduled", "plan"))
QUICK = SPEC.replace(
    "max_steps: 200", "max_steps: 20\n  checks: {collapse: warn, rising_loss: warn}"
).replace("resamples: 100000", "resamples: 500")
PASSES = QUICK.replace("recall@1: {min: 0.05, min_gain: -1}", "recall@1: {min: 0, min_gain: -1}")
FAILS = QUICK.replace("recall@1: {min: 0.05, min_gain: -1}", "latency_ms: {p95_max: 0.000001}")


@pytest.fixture
def team(tmp_path: Path) -> Repository:
    """A repository on `main` as the README asks for: the action, and what pins ftspec; and one sound spec."""
    made = Repository(write_project(tmp_path / "team", make_tiny_model(tmp_path / "tiny"), PASSES))
    made.path("spec.yaml").rename(made.path("good.yaml"))
    add_action(made)
    made.git("init", "-q", "-b", "main")
    made.commit("first")
    return made


def add_action(made: Repository) -> None:
    shutil.copytree(GITHUB / "actions", made.path(".github/actions"))
    shutil.copy(EXAMPLES / "constraints-ftspec.txt", made.top)


def add(team: Repository, name: str, text: str) -> None:
    """Each spec has a seed, and so a training, of its own."""
    text = text.replace("name: tiny", f"name: {name}").replace(
        "max_steps: 20", f"max_steps: 20\n  seed: {len(name)}"
    )
    team.path(f"{name}.yaml").write_text(text, encoding="utf-8")
    team.commit(name)


def trainings(folder: Path) -> int:
    return len(sql("select stage from stages where stage = 'train' and action = 'run'", folder))


def test_a_pull_request_gets_its_comment_and_that_of_a_fork_a_summary(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git("checkout", "-q", "main")
    add_action(repository)
    repository.commit()
    repository.git("checkout", "-qB", "change")
    repository.replace("specs/pairs.yaml", "recall@5]", "recall@5, recall@10]")
    repository.replace("specs/classes.yaml", "kind: Embedding", "kind: Embeding")
    repository.commit()
    head = {"sha": repository.git("rev-parse", "HEAD"), "event_name": "pull_request"}
    with server_like_github() as server:
        github = Hosted(repository.top, tmp_path / "github")
        github.variables = {"GITHUB_BASE_REF": "main", "GITHUB_API_URL": server.url}
        for owner in ("mallory", "acme", "acme"):
            event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": f"{owner}/search"}}}}
            done = github.run(PLAN, **head, event=event)["plan"]
            assert done.result == "failure"
            assert "::error file=specs/classes.yaml,line=3," in done.said
            assert "Re-score" in done.summary
            assert len(server.comments) == (owner == "acme"), done.said
            assert done.outcomes["Comment"] == ("success" if owner == "acme" else "skipped")
        github.variables["GITHUB_BASE_REF"] = "gone"
        assert github.run(PLAN, **head, event=event)["plan"].outcomes["Comment"] == "skipped"
    assert server.comments[0]["body"] == done.summary.strip()
    assert not github.caches


@pytest.mark.slow
def test_one_at_fault_and_one_that_fails_its_gate_cost_the_others_nothing(
    team: Repository, tmp_path: Path
) -> None:
    add(team, "bad", PASSES.replace("rows.jsonl", "gone.jsonl"))
    add(team, "losing", FAILS)
    github = Hosted(team.top, tmp_path / "github")
    first = github.run(APPLY)
    assert first["plan"].result == "failure"
    assert "bad.yaml" in first["plan"].said
    assert first["plan"].outputs["plans"] == "2"
    assert first["apply"].result == "failure"
    assert "apply of losing.ftplan ended with exit code 5" in first["apply"].said
    assert "Registered as tiny v1" in first["apply"].said
    assert first["apply"].outcomes["actions/cache/save"] == "success"
    assert trainings(github.work) == 2
    # The next push: the last run was not green, so all is planned again; only what is new is made.
    add(team, "bad", PASSES)
    second = github.run(APPLY)
    assert second["plan"].result == "success"
    assert second["plan"].outputs["plans"] == "1"
    assert second["apply"].result == "success"
    assert "Registered as bad v1" in second["apply"].said
    assert trainings(github.work) == 3
    assert sql("select name from models order by name", github.work) == [{"name": "bad"}, {"name": "tiny"}]
    # A cache holds what the next run needs, and not what was: of a version that another took the place of, words.
    add(team, "bad", PASSES.replace("max_steps: 20", "max_steps: 10"))
    replaced = github.run(APPLY)["apply"]
    assert "Registered as bad v2" in replaced.said
    state = list(github.caches.values())[-1]
    assert sorted(path.parent.name + path.name for path in state.glob("models/*/v*")) == ["badv2", "tinyv1"]
    assert len(list(state.glob("artifacts/train/*"))) == 3
    assert trainings(github.work) == 4
    # Nothing new: not even a machine for apply.
    team.path("README").write_text("words")
    team.commit()
    third = github.run(APPLY)
    assert (third["plan"].result, third["apply"].result) == ("success", "skipped")
    assert third["plan"].outputs["plans"] == "0"
    # A pull request knows what is stored, and keeps nothing of its own.
    before = list(github.caches)
    shown = github.run(PLAN)["plan"]
    assert "Nothing would run" in shown.summary
    assert list(github.caches) == before


def test_a_weekly_run_leaves_the_way_to_a_merge(team: Repository, tmp_path: Path) -> None:
    github = Hosted(team.top, tmp_path / "github")
    github.unfinished = "1"
    done = github.run(SCHEDULED)
    assert [each.result for each in done.values()] == ["success", "skipped", "skipped"]
    assert "::notice title=ftspec::a merge waits or is being applied" in done["look"].said


@pytest.mark.slow
def test_new_data_on_a_schedule_trains_although_the_lock_cannot_state_it(
    team: Repository, tmp_path: Path
) -> None:
    ftspec("lock", cwd=team.top)
    add(team, "bad", PASSES.replace("rows.jsonl", "gone.jsonl"))
    lock = team.path("ftspec.lock").read_text(encoding="utf-8")
    write_rows(team.path("rows.jsonl"), made_rows()[:-1])
    team.commit("new data")
    github = Hosted(team.top, tmp_path / "github")
    pushed = github.run(APPLY)
    assert pushed["plan"].outputs["plans"] == "0"
    assert "FTS630" in pushed["plan"].said
    week = github.run(SCHEDULED)
    planned, done = week["plan"], week["apply"]
    assert planned.result == "failure", "one cannot be planned"
    assert "not as ftspec.lock states:** <code>good.yaml</code>" in planned.summary
    assert "rows.jsonl" in planned.summary
    assert "Registered as tiny v1" in done.said
    assert done.outcomes["actions/cache/save"] == "success"
    assert (github.work / "ftspec.lock").read_text(encoding="utf-8") == lock
    team.path("bad.yaml").unlink()
    team.commit("without the one at fault")
    again = github.run(SCHEDULED)
    assert [each.result for each in again.values()] == ["success", "success", "skipped"]
    assert "Nothing would run" in again["plan"].summary
