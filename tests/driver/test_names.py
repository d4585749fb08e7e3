"""Each name of a model belongs to one spec of a project."""

import json
import shutil
from pathlib import Path

import pytest

from ftspec.driver import names
from ftspec.driver.names import name_clashes, specs_named
from ftspec.driver.specs import project_specs
from ftspec.paths import shared_folder
from ftspec.store.project import Project
from tests.driver.drift_case import compiled_plan, pretend_run
from tests.gitops.conftest import Repository, repository

__all__ = ["repository"]  # the fixture

HEAD = "apiVersion: ftspec/v1\nkind: Embedding\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}metadata:\n  name: tiny\n",
        f"{HEAD}metadata:\n  description: 'name: other'\n\n  # a comment\n  name: 'tiny' # too\n",
        f'{HEAD}"metadata": {{description: x, "name": "tiny"}}\n',
        f"{HEAD}metadata: {{\n  name: tiny}}\n",
        f"\ufeffmetadata:\r\n  name: tiny\r\n{HEAD}",
        f'{HEAD}metadata:\n  name: "t\\u0069ny"\n',
        f"{HEAD}metadata:\n  name: >-\n    tiny\n",
        f'{HEAD}metadata:\n  description: "a name: q"\n  name: >-\n    tiny\n',
        f"{HEAD}metadata:\n  description: 'a name: q'\n  name:\n    tiny\n",
        f"{HEAD}metadata:\n  description: |\n    name: q\n  name: &here tiny\n",
        f"{HEAD}metadata:\n  description: >\n\n    of\n    name: q\n  name: !!str tiny\n",
        f"{HEAD}metadata: # of it\n\n  # a name\n  labels: {{}}\n  'name':  tiny # too",
        "extends: parts/base.yaml\nmetadata:\n  description: |\n    name: other\n",
        "extends: parts/base.yaml\nmetadata: # x\n  # name: other\n  labels: {}\n",
        "extends: parts/base.yaml\nmetadata:\n  description: >\n    x\n\n    name: other\n",
        "extends: parts/base.yaml\n",
        "extends: parts/base.yaml\nmetadata:\n  labels: {name: other}\n",
        "extends: parts/base.yaml\nmetadata:\n  description: x\n  labels:\n    name: other\n",
    ],
)
def test_a_name_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "base.yaml").write_text("metadata:\n  name: tiny\n")
    one, other, third = (tmp_path / name for name in ("one.yaml", "other.yaml", "third.yaml"))
    one.write_text(f"{HEAD}metadata: {{name: tiny}}\n")
    other.write_bytes(text.encode())
    third.write_text(f"{HEAD}metadata:\n  name: third\n  labels: {{name: tiny}}\n")
    found = name_clashes([one, other, third, one])
    assert set(found) == {one, other}
    assert str(found[one].primary) == f"{one}:3:18"
    assert found[other].related[0].span == found[one].primary
    assert found[other].primary is not None
    assert found[other].primary.path == str(other)
    assert specs_named([one, third], "tiny", "Embedding") == (one,)
    assert specs_named([one, third], "tiny", "LLM") == ()  # another model of that name


def test_a_file_is_no_other_spec_than_itself(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(f"{HEAD}metadata: {{name: tiny}}\n")
    (tmp_path / "link.yaml").symlink_to("one.yaml")
    assert name_clashes([tmp_path / "one.yaml", tmp_path / "link.yaml"]) == {}


def test_no_spec_is_parsed_that_cannot_be_concerned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "load_document", pytest.fail)
    specs = [tmp_path / f"{number}.yaml" for number in range(5)]
    for number, path in enumerate(specs):
        before = "  # what it is for\n  description: |\n    some words\n    more\n\n" * (number % 2)
        path.write_text(f"{HEAD}metadata:\n{before}  name: model-{number}  # words\n  labels: {{a: b}}\n")
    assert name_clashes(specs) == {}


def test_the_examples_have_names_of_their_own() -> None:
    assert name_clashes(project_specs(shared_folder("specs"))) == {}


def test_plan_all_refuses_both(repository: Repository) -> None:
    repository.replace("specs/classes.yaml", "name: classes", "name: pairs")
    result = repository.run("plan", "--all", "--format", "json", code=1)
    specs = json.loads(result.stdout)["specs"]
    assert {each["state"] for each in specs} == {"failed"}
    assert {each["diagnostics"][0]["code"] for each in specs} == {"FTS213"}
    text = repository.run("plan", "--all", "--out-dir", "plans", code=1).stderr
    assert "specs/classes.yaml:5:9" in text
    assert "specs/pairs.yaml:5:9" in text
    assert not list(repository.path("plans").glob("*.ftplan"))


def test_a_changed_spec_is_held_against_those_that_did_not_change(repository: Repository) -> None:
    shutil.copy(repository.path("specs/pairs.yaml"), repository.path("specs/again.yaml"))
    result = repository.run("plan", "--all", "--since", "main", "--format", "json", code=1)
    (spec,) = json.loads(result.stdout)["specs"]
    assert (spec["path"], spec["state"]) == ("specs/again.yaml", "failed")
    (found,) = spec["diagnostics"]
    assert (found["code"], found["related"][0]["span"]["path"]) == ("FTS213", "specs/pairs.yaml")


def test_a_lock_is_written_all_the_same(repository: Repository) -> None:
    repository.replace("specs/classes.yaml", "name: classes", "name: pairs")
    result = repository.run("lock")
    assert "warning[FTS213]" in result.stderr
    assert repository.path("ftspec.lock").is_file()


def test_a_single_plan_knows_the_spec_of_the_current_version(repository: Repository) -> None:
    project = Project(repository.top)
    project.create()
    pretend_run(project, compiled_plan(project, Path("specs/pairs.yaml")))
    assert "FTS213" not in repository.run("plan", "specs/pairs.yaml").stderr
    repository.replace("specs/classes.yaml", "name: classes", "name: pairs")
    result = repository.run("plan", "specs/classes.yaml")
    assert "warning[FTS213]" in result.stderr
    assert "specs/pairs.yaml:5:9" in result.stderr
    result = repository.run("apply", "specs/classes.yaml", code=64)  # it asks, and nobody is there
    assert "warning[FTS213]" in result.stderr
    repository.path("specs/pairs.yaml").rename(repository.path("specs/gone.txt"))
    assert "FTS213" not in repository.run("plan", "specs/classes.yaml").stderr
