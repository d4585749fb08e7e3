"""`ftspec gc`: what goes, what stays, and that what was measured is not forgotten."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.diagnostics.model import FtspecError
from ftspec.driver.gc import Garbage, collect_garbage, find_garbage, kept_promotions
from ftspec.driver.promote import Allowed, promote, propose
from ftspec.driver.rollback import rollback
from ftspec.plan.contract import Lock, LockedModel, model_digest
from ftspec.plan.frozen import FrozenMap
from ftspec.store.artifacts import Artifacts
from ftspec.store.ledger import Ledger
from ftspec.store.lockfile import lock_path, lock_text
from ftspec.store.project import Project
from ftspec.store.rebuild import rebuild, verify
from ftspec.store.registry import RegisteredModel, delete_model, list_models
from ftspec.store.run_record import all_records
from tests.driver.promote_case import MEANS, make_version

EVERYTHING = Allowed(inconclusive=True, space_break=True, tainted=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.create()
    return project


@pytest.fixture
def models(project: Project) -> list[RegisteredModel]:
    """Each better than the one before; the last is current, and of the newest run."""
    noises = (3.4, 2.8, 2.1, 1.4, 0.6)
    return [make_version(project, seed, noise) for seed, noise in enumerate(noises, start=1)]


def put(project: Project, model: RegisteredModel, environment: str = "production") -> None:
    proposal = propose(project, model, environment, allowed=EVERYTHING, means=MEANS)
    assert not proposal.refused, proposal.problems.items
    promote(project, proposal)


def collect(project: Project, keep: int) -> Garbage:
    foreseen = find_garbage(project, keep=keep)
    done = collect_garbage(project, keep=keep, purpose="ftspec gc")
    assert done == foreseen
    assert find_garbage(project, keep=keep).items == ()
    return done


def versions(project: Project) -> list[str]:
    return [model.version for model in list_models(project)]


def names(garbage: Garbage, kind: str) -> list[str]:
    return [item.name for item in garbage.items if item.kind == kind]


def stages_of(project: Project) -> dict[str, set[str]]:
    """Run → the stages whose artefacts are whole."""
    store = Artifacts(project)
    return {
        record.run_id: {stage.name for stage in record.stages if store.find(stage.name, stage.key)}
        for record in all_records(project)[0]
    }


def ftspec(project: Project, *arguments: str) -> Result:
    found = CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def test_without_promotions_the_newest_run_stays(project: Project, models: list[RegisteredModel]) -> None:
    before = stages_of(project)
    done = collect(project, 3)
    assert versions(project) == ["v5"]
    after = stages_of(project)
    assert after["example-00000005"] == before["example-00000005"] == before["example-00000001"]
    # the split and what the base makes of it are the same for all, so they stay
    assert after["example-00000001"] == {"split", "encode_base"}
    assert names(done, "model") == ["example v1", "example v2", "example v3", "example v4"]
    assert len(names(done, "run")) == 4
    for run_id in names(done, "run"):
        left = sorted(path.name for path in (project.runs / run_id).iterdir())
        assert left == ["collected.json", "plan.json", "record.json"]
    assert (project.runs / "example-00000005" / "out" / "file").is_file()
    assert done.kept == {"model": 1, "run": 1, "artifact": len(before["example-00000005"])}


def test_the_last_promotions_stay_whole(project: Project, models: list[RegisteredModel]) -> None:
    for model in models[:4]:
        put(project, model)
    before = stages_of(project)
    collect(project, 2)
    assert versions(project) == ["v3", "v4", "v5"]
    after = stages_of(project)
    for number in (3, 4, 5):
        assert after[f"example-0000000{number}"] == before[f"example-0000000{number}"]
        assert (project.runs / f"example-0000000{number}" / "out").is_dir()
    # the evidence of the last two: v3 against v2, v4 against v3
    assert len(list((project.artifacts / "promotion").iterdir())) == 2
    assert rollback(project, "example", "production")[0].version == "v3"


def test_every_environment_counts(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0], "qa")
    put(project, models[1], "staging")
    put(project, models[2])
    collect(project, 1)
    assert versions(project) == ["v1", "v2", "v3", "v5"]


def test_the_way_back_stays(project: Project, models: list[RegisteredModel]) -> None:
    for model in models[:4]:
        put(project, model)
    for _ in range(2):
        rollback(project, "example", "production")  # v3, v2
    kept = {each.version for each in kept_promotions(project, 2)}
    assert kept == {"v3", "v2", "v1"}
    collect(project, 2)
    assert versions(project) == ["v1", "v2", "v3", "v5"]
    assert rollback(project, "example", "production")[0].version == "v1"


def test_unfinished_runs_stay(project: Project, models: list[RegisteredModel]) -> None:
    folder = project.runs / "example-00000002"
    (folder / "record.json").unlink()
    store = Artifacts(project)
    plan = json.loads((folder / "plan.json").read_text())
    stored = [stage for stage in plan["stages"] if store.find(stage["name"], stage["key"])]
    assert len(stored) == 7
    collect(project, 1)
    assert (folder / "out" / "file").is_file()
    assert all(store.find(stage["name"], stage["key"]) for stage in stored)


def test_what_was_measured_is_not_forgotten(project: Project, models: list[RegisteredModel]) -> None:
    query = "SELECT count(*), count(DISTINCT run_id) FROM query_scores"
    before = Ledger(project).query_readonly(query).rows
    assert before[0][1] == 5
    collect(project, 1)
    assert not verify(project).items
    assert Ledger(project).query_readonly(query).rows == before
    assert Ledger(project).query_readonly("SELECT count(*) FROM artifacts").rows[0][0] == len(
        list(Artifacts(project).all())
    )
    _, found = rebuild(project)
    assert not found.items
    assert Ledger(project).query_readonly(query).rows == before
    assert len(all_records(project)[0]) == 5


def test_files_that_others_share_free_nothing(project: Project, models: list[RegisteredModel]) -> None:
    """Run folders hold links to artefacts."""
    artifact = next((project.artifacts / "split").iterdir()) / "train.jsonl"
    shared = project.runs / "example-00000001" / "out" / "shared"
    os.link(artifact, shared)
    garbage = find_garbage(project, keep=1)
    (run,) = (item for item in garbage.items if item.name == "example-00000001")
    assert run.size_bytes == 3000 + artifact.stat().st_size
    assert garbage.freed_bytes == sum(item.size_bytes for item in garbage.items) - artifact.stat().st_size


def test_what_the_lock_names_stays(project: Project, models: list[RegisteredModel]) -> None:
    """A spec that starts from it may not have run yet."""
    files = FrozenMap({"config.json": "0" * 64})
    entry = LockedModel(revision="v2", digest=model_digest(files), files=files)
    lock_path(project.root).write_text(lock_text(Lock(models=FrozenMap({"example": entry}))))
    before = stages_of(project)
    collect(project, 3)
    assert versions(project) == ["v2", "v5"]
    assert stages_of(project)["example-00000002"] == before["example-00000002"]
    lock_path(project.root).write_text("<<<<<<< ours\n")
    with pytest.raises(FtspecError) as raised:
        find_garbage(project)
    assert raised.value.diagnostics[0].code.id == "FTS631"


SPEC = "apiVersion: ftspec/v1\nkind: Embedding\nmetadata: {name: next}\n"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("model: {base: example, revision: v1}\n", ["v1", "v5"]),
        ("model: {base: example}\n", ["v5"]),
        ("model: {base: organisation/example, revision: v1}\n", ["v5"]),
        ("model: {base: ../.ftspec/models/example/v2}\nevaluation: {baseline: example}\n", ["v2", "v5"]),
        ("evaluation: {baseline: ../.ftspec/models/example/v3}\n", ["v3", "v5"]),
        ("model: 7\nevaluation: [a]\n", ["v5"]),
    ],
)
def test_what_a_spec_names_stays(
    project: Project, models: list[RegisteredModel], words: str, kept: list[str]
) -> None:
    """It may not have run yet, here or at all."""
    before = stages_of(project)
    folder = project.root / "specs"
    folder.mkdir()
    (folder / "next.yaml").write_text(SPEC + words)
    collect(project, 3)
    assert versions(project) == kept
    for version in kept:
        run_id = f"example-0000000{version[1:]}"
        assert stages_of(project)[run_id] == before[run_id]


def test_without_a_current_version_a_name_means_the_newest(
    project: Project, models: list[RegisteredModel]
) -> None:
    delete_model(project, "example", "v5")
    (project.root / "next.yaml").write_text(SPEC + "model: {base: example}\n")
    collect(project, 3)
    assert versions(project) == ["v4"]


def test_a_spec_that_cannot_be_read_stops_it(project: Project, models: list[RegisteredModel]) -> None:
    (project.root / "next.yaml").write_text(SPEC + "<<<<<<< ours\nmodel: {base: example}\n")
    with pytest.raises(FtspecError) as raised:
        find_garbage(project)
    assert raised.value.diagnostics[0].primary is not None
    assert len(versions(project)) == 5


def test_a_damaged_history_stops_it(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    project.environments.write_text("{")
    with pytest.raises(FtspecError, match="FTS680"):
        collect_garbage(project, purpose="ftspec gc")
    assert len(versions(project)) == 5
    project.environments.unlink()
    with pytest.raises(FtspecError, match=r"FTS680.*promotions are recorded"):
        find_garbage(project)


def test_a_damaged_record_stops_it(project: Project, models: list[RegisteredModel]) -> None:
    path = project.runs / "example-00000001" / "record.json"
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(FtspecError, match="FTS612"):
        find_garbage(project)


def test_leftovers_and_foreign_indexes_go(project: Project, models: list[RegisteredModel]) -> None:
    index = project.state / "index"
    kept = models[4].digest.removeprefix("sha256:")[:20]
    for name in (kept, "0" * 20):
        (index / name).mkdir(parents=True)
        (index / name / "a.npy").write_text("x" * 10)
    damaged = project.artifacts / "train" / ("f" * 20)
    damaged.mkdir()
    done = collect(project, 1)
    assert names(done, "index") == ["0" * 20]
    assert "train/" + "f" * 20 in names(done, "artifact")
    assert [path.name for path in index.iterdir()] == [kept]


def test_the_command(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[3])
    found = ftspec(project, "gc", "--dry-run")
    assert found.exit_code == 0
    assert "example v1" in found.stdout
    assert "3 versions, 3 run folders" in found.stdout
    assert len(versions(project)) == 5
    assert ftspec(project, "gc").exit_code == 64
    document = json.loads(ftspec(project, "gc", "--yes", "--format", "json", "--keep", "1").stdout)
    assert document["freed_bytes"] > 0
    assert [each["name"] for each in document["items"] if each["kind"] == "model"] == [
        "example v1", "example v2", "example v3",
    ]  # fmt: skip
    assert versions(project) == ["v4", "v5"]
    again = ftspec(project, "gc", "--yes")
    assert (again.exit_code, again.stdout) == (0, "nothing to remove\n")
    assert json.loads(ftspec(project, "gc", "--format", "json").stdout)["items"] == []


def test_an_empty_project(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert ftspec(project, "gc", "--yes").stdout == "nothing to remove\n"
    assert not project.state.exists()
