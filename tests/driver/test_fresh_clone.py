"""A fresh clone has ftspec.environments.json and nothing else: what is said there, and that its remedies work."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.driver.promote import Allowed, promote, propose
from ftspec.store.environments import pointer
from ftspec.store.project import Project
from tests.driver.promote_case import MEANS, make_version


@pytest.fixture
def original(tmp_path: Path) -> Project:
    """v1, then v2 in production."""
    project = Project(tmp_path / "project")
    project.root.mkdir()
    for seed, noise in ((1, 2.5), (2, 1.0)):
        model = make_version(project, seed, noise)
        allowed = Allowed(space_break=True)
        promote(project, propose(project, model, "production", allowed=allowed, means=MEANS))
    return project


@pytest.fixture
def clone(original: Project, tmp_path: Path) -> Project:
    cloned = Project(tmp_path / "clone")
    cloned.root.mkdir()
    cloned.environments.write_bytes(original.environments.read_bytes())
    return cloned


def ftspec(project: Project, *arguments: str, exits: int = 0) -> Result:
    found = CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    assert found.exit_code == exits, found.output
    return found


def said(found: Result) -> str:
    return " ".join(found.stderr.split())


def test_a_query_says_which_files_are_missing(clone: Project) -> None:
    words = said(ftspec(clone, "query", "example", "x", "--environment", "production", exits=1))
    assert "FTS682" in words
    assert ".ftspec/models/example/v2 of run example-00000002 is not here" in words
    assert "rollback" not in words  # it would find nothing
    assert "bring .ftspec from where it was promoted" in words


def test_a_model_made_here_is_promoted_over_the_one_that_is_missing(clone: Project) -> None:
    model = make_version(clone, 3, 1.0)
    plain = propose(clone, model, "production", allowed=Allowed(), means=MEANS)
    assert {"FTS682", "FTS684", "FTS802"} == {each.code.id for each in plain.problems}
    allowed = Allowed(space_break=True, inconclusive=True)
    promote(clone, propose(clone, model, "production", allowed=allowed, means=MEANS))
    assert pointer(clone, "example", "production") is not None
    # The number v1 is given twice, in two clones: the digest tells the models apart.
    (clone.root / "other").mkdir()
    other = Project(clone.root / "other")
    make_version(other, 4, 1.0)
    other.environments.write_bytes(clone.environments.read_bytes())
    words = said(ftspec(other, "query", "example", "x", "--environment", "production", exits=1))
    assert "is another model here, of run example-00000004 and not example-00000003" in words


def test_a_rollback_says_where_the_history_is(clone: Project) -> None:
    rollback = ("rollback", "example", "--to", "production", "--yes")
    words = said(ftspec(clone, *rollback, exits=1))
    assert "FTS681" in words
    assert "what was there before v2 is recorded where it was promoted, not in this clone" in words
    assert "nothing was there before" not in words
    document = json.loads(ftspec(clone, *rollback, "--format", "json", exits=1).stderr)
    assert [each["code"] for each in document["diagnostics"]] == ["FTS681"]


def test_files_of_the_state_are_all_that_is_missing(original: Project, clone: Project) -> None:
    original.state.rename(clone.state)
    words = ftspec(clone, "rollback", "example", "--to", "production", "--yes")
    assert "production rolled back to example v1" in words.stdout


def test_the_history_says_that_it_begins_elsewhere(original: Project, clone: Project) -> None:
    assert "FTS689" not in said(ftspec(original, "history", "example"))
    found = ftspec(clone, "history", "example")
    assert "production: what was there before example v2" in said(found)
    assert "v2" in found.stdout
    found = ftspec(clone, "history", "--format", "json")
    assert [each["version"] for each in json.loads(found.stdout)] == ["v2"]
    assert json.loads(found.stderr)["diagnostics"][0]["code"] == "FTS689"
    (path,) = (each for each in original.promotions.iterdir() if '"v1"' in each.read_text().split('"from')[0])
    clone.promotions.mkdir(parents=True)
    (clone.promotions / path.name).write_bytes(path.read_bytes())
    assert "FTS689" not in said(ftspec(clone, "history", "example"))
