"""A team's week in a git repository: a reviewed plan is what runs, and production moves only with evidence."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import SPEC, apply, ftspec, ftspec_json, rows, sql, write_project, write_rows

pytestmark = pytest.mark.slow

QUICK = (
    SPEC.replace("max_steps: 200", "max_steps: 60\n  checks: {collapse: warn, rising_loss: warn}")
    .replace("resamples: 100000", "resamples: 2000")
    .replace("min_gain: -1", "min_gain: -0.1")
)


@pytest.fixture(scope="module")
def repository(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two specs on main, committed with their data, both applied; the weak model of one is in production."""
    folder = write_project(tmp_path_factory.mktemp("story") / "team", tiny_model, QUICK)
    (folder / "spec.yaml").rename(folder / "guides.yaml")
    guides = QUICK.replace("name: tiny", "name: guides")
    (folder / "guides.yaml").write_text(guides, encoding="utf-8")
    # learns next to nothing, and may: its gate allows a loss
    tickets = QUICK.replace("name: tiny", "name: tickets").replace("1.0e-3", "1.0e-7\n  seed: 5")
    (folder / "tickets.yaml").write_text(tickets, encoding="utf-8")
    (folder / ".gitignore").write_text(".ftspec/\nplans/\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, "Two models, both searched for")
    for name in ("guides", "tickets"):
        assert apply(folder, subject=f"{name}.yaml")["verdict"] == "passed"
    ftspec("promote", "tickets", "--to", "production", "--yes", cwd=folder)
    commit(folder, "What is in production")
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{part}": "team" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-c", "commit.gpgsign=false", *arguments],
        cwd=folder,
        env={**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_story(repository: Path) -> None:
    # A pull request: another metric in one spec, another learning rate in the other.
    git(repository, "switch", "--quiet", "--create", "change")
    edit(repository / "guides.yaml", "metrics: [recall@1, mrr@10]", "metrics: [recall@1, ndcg@10]")
    edit(repository / "tickets.yaml", "1.0e-7", "1.0e-3")
    commit(repository, "Judge guides by nDCG; let tickets learn")

    comment = ftspec(
        "plan", "--all", "--since", "main", "--format", "markdown", "--out-dir", "plans", cwd=repository
    ).stdout
    assert len(comment) < 65_536
    verdicts = comment.partition("<details>")[0]
    assert "tickets" in verdicts
    assert "guides" in verdicts
    diff = {
        name: ftspec_json("diff", f"main:{name}.yaml", f"{name}.yaml", cwd=repository)
        for name in ("guides", "tickets")
    }
    assert diff["guides"]["category"] == "evaluation"
    assert diff["tickets"]["category"] == "retrain"
    runs = {
        name: {stage["name"] for stage in found["stages"] if stage["action"] == "run"}
        for name, found in diff.items()
    }
    assert runs["guides"] == {"evaluate", "gate", "register"}, "one re-score"
    assert "train" in runs["tickets"], "one retrain"
    assert "retrain" in comment
    assert "evaluation" in comment

    # Merged; the reviewed plan runs exactly that.
    git(repository, "switch", "--quiet", "main")
    git(repository, "merge", "--quiet", "--no-edit", "change")
    reviewed = {name: repository / "plans" / f"{name}.ftplan" for name in ("guides", "tickets")}
    assert all(path.is_file() for path in reviewed.values())
    planned = {name: ftspec_json("show", path, cwd=repository) for name, path in reviewed.items()}
    for name in ("guides", "tickets"):
        result = apply(repository, subject=str(reviewed[name]))
        assert result["plan_digest"] == planned[name]["digest"]
        ran = sql(
            f"select stage from stages where run_id = '{result['run_id']}' and action = 'run'", repository
        )
        assert {row["stage"] for row in ran} == runs[name]

    # Production moves: the new model of tickets beats the one that is there.
    to_production = ("--to", "production", "--yes")
    broken = ftspec("promote", "tickets@v2", *to_production, cwd=repository, exits=1)
    assert "FTS684" in broken.stderr, "indexes that were built before do not fit"
    assert current(repository) == "v1"
    ftspec("promote", "tickets@v2", *to_production, "--allow-space-break", cwd=repository)
    assert current(repository) == "v2"

    # A worse one does not get there, and what is there stays.
    edit(repository / "tickets.yaml", "1.0e-3", "1.0e-8")
    commit(repository, "A slip of the hand")
    worse = apply(repository, subject="tickets.yaml")
    assert worse["model"]["version"] == "v3"
    ftspec("promote", "tickets@v3", *to_production, "--allow-space-break", cwd=repository, exits=5)
    assert current(repository) == "v2"
    ftspec("rollback", "tickets", "--to", "production", "--yes", cwd=repository)
    assert current(repository) == "v1"
    versions = [row["version"] for row in ftspec_json("history", "tickets", cwd=repository)]
    assert sorted(versions) == ["v1", "v1", "v2"]

    # The data changes, and the old plan no longer holds.
    edited = rows()
    edited[0]["text"] += " and more"
    write_rows(repository / "rows.jsonl", edited)
    stale = ftspec("apply", reviewed["guides"], "--yes", cwd=repository, exits=3)
    assert "rows.jsonl" in stale.stderr
    assert "FTS602" in stale.stderr
    assert ftspec_json("show", reviewed["guides"], cwd=repository)["digest"] == planned["guides"]["digest"]


def current(folder: Path) -> str:
    """The version of tickets that production points to, as the committed file says."""
    document = json.loads((folder / "ftspec.environments.json").read_text(encoding="utf-8"))
    found: str = document["environments"]["production"]["tickets"]["version"]
    return found
