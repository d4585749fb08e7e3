"""Drift, kind by kind: what moved is found, named with its remedy, and weighed; what did not move is silent."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.driver.drift import in_use, model_drift
from ftspec.plan.drift import DriftFinding, DriftKind, DriftSeverity, ModelDrift
from ftspec.store.environments import write_pointers
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion, with_id
from ftspec.store.registry import find_model_version
from tests.driver.drift_case import compiled_plan, present_versions, pretend_run
from tests.e2e.harness import SPEC, rows, write_project, write_rows
from tests.tiny_model import make_tiny_model

COMMIT, NEXT = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def project(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = write_project(tmp_path / "project", tiny, SPEC)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    project = Project(folder)
    project.create()
    return project


@pytest.fixture
def made(project: Project) -> Project:
    """With a model that was made by the spec as it is."""
    pretend_run(project, compiled_plan(project, Path("spec.yaml")))
    return project


def ftspec(*arguments: str) -> Result:
    found = CliRunner().invoke(cli, list(arguments))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def drift(project: Project, **options: Any) -> ModelDrift:
    (used,) = in_use(project)
    return model_drift(project, used, **options)


def only(found: ModelDrift) -> DriftFinding:
    (finding,) = found.findings
    assert finding.old != finding.new
    assert finding.remedy
    return finding


def point(project: Project, environment: str, version: str = "v1", **changes: Any) -> None:
    model, _ = find_model_version(project, "tiny", version)
    values: dict[str, Any] = {
        "environment": environment, "name": "tiny", "kind": "Embedding", "number": 1, "action": "promote",
        "version": version, "digest": model.digest if model else "sha256:" + "0" * 64, "space_id": None,
        "run_id": "tiny-00000001", "from_version": None, "from_digest": None, "basis": "registered",
        "verdict": "passed", "comparison": None, "measured": None, "flags": (), "note": "", "by": "ana",
        "promoted": "2026-01-02T00:00:00+00:00", "previous": None,
    }  # fmt: skip
    promotion = with_id(Promotion(**{**values, **changes}))
    write_pointers(project, {(environment, "tiny"): promotion})


def test_nothing_moved(made: Project) -> None:
    found = drift(made)
    assert (found.findings, found.unknown, found.notes) == ((), (), ())
    result = ftspec("drift", "--detailed-exitcode")
    assert result.exit_code == 0
    assert "nothing moved" in result.stdout
    assert "No drift." in result.stdout
    assert "Drift" not in ftspec("plan", "spec.yaml").stdout


def test_touched_files_and_reordered_specs_are_no_drift(made: Project) -> None:
    for name in ("rows.jsonl", "tiny/model.safetensors"):
        path = made.root / name
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    text = (made.root / "spec.yaml").read_text()
    (made.root / "spec.yaml").write_text("# a comment\n" + text)
    found = drift(made)
    assert (found.findings, found.notes) == ((), ())


def test_nothing_is_in_use(project: Project) -> None:
    assert ftspec("drift").stdout == "No model is in use, so nothing can drift.\n"


def test_an_edited_spec_is_a_note(made: Project) -> None:
    path = made.root / "spec.yaml"
    path.write_text(path.read_text().replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    found = drift(made)
    assert found.findings == ()
    assert "edited since" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< ours\nkind: Embedding\n=======\n>>>>>>> theirs\n",
        SPEC.replace("learning_rate", "learing_rate"),
    ],
    ids=["conflict", "unknown-key"],
)
def test_a_spec_that_cannot_be_read_is_told(made: Project, text: str) -> None:
    """What was compared is shown all the same."""
    (made.root / "spec.yaml").write_text(text)
    write_rows(made.root / "rows.jsonl", rows()[:-1])
    for arguments in ((), ("--detailed-exitcode",), ("--behaviour",)):
        result = ftspec("drift", "--format", "json", *arguments)
        assert result.exit_code == 1
        (model,) = json.loads(result.stdout)["models"]
        assert [each["kind"] for each in model["findings"]] == ["data"]
        assert any("its spec spec.yaml cannot be read" in each for each in model["unknown"])
        assert json.loads(result.stderr)["diagnostics"][0]["primary"]["path"] == "spec.yaml"
    write_rows(made.root / "rows.jsonl", rows())
    result = ftspec("drift")
    assert (result.exit_code, "not everything is known" in result.stdout) == (1, True)
    assert ftspec("drift", "--format", "github").exit_code == 1


def test_a_faulty_spec_that_is_named_is_looked_at_by_its_name(made: Project) -> None:
    (made.root / "spec.yaml").write_text(SPEC.replace("learning_rate", "learing_rate"))
    result = ftspec("drift", "spec.yaml", "--format", "json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["models"]) == 1
    assert len(json.loads(result.stderr)["diagnostics"]) == 1


def test_a_lock_that_cannot_be_read_is_told(made: Project) -> None:
    (made.root / "ftspec.lock").write_text("<<<<<<< ours\n{}\n")
    result = ftspec("drift")
    assert result.exit_code == 1
    assert result.stderr.count("[FTS631]") == 1
    assert "unknown: ftspec.lock cannot be used" in " ".join(result.stdout.split())
    assert "not everything is known" in result.stdout


def test_a_spec_that_was_renamed_is_followed(made: Project) -> None:
    (made.root / "models").mkdir()
    text = (made.root / "spec.yaml").read_text()
    (made.root / "spec.yaml").unlink()
    (made.root / "models" / "colors.yaml").write_text(
        text.replace("rows.jsonl", "../rows.jsonl").replace("base: ./", "base: ../")
    )
    write_rows(made.root / "rows.jsonl", rows()[:-1])
    found = drift(made)
    assert only(found).remedy == "train with it: ftspec apply models/colors.yaml"
    assert found.spec_path == "models/colors.yaml"
    assert "its spec is models/colors.yaml now; it was spec.yaml" in found.notes
    assert ftspec("drift").exit_code == 0


def test_a_spec_that_is_gone_is_drift(made: Project) -> None:
    (made.root / "spec.yaml").unlink()
    finding = only(drift(made))
    assert (finding.kind, finding.severity) == (DriftKind.SPEC, DriftSeverity.RELEVANT)
    assert finding.new.startswith("is gone")
    assert ftspec("drift", "--detailed-exitcode").exit_code == 2
    assert "FTS694" in ftspec("drift", "--format", "github").stdout
    (made.root / "spec.yaml").write_text(SPEC.replace("name: tiny", "name: other"))
    assert only(drift(made)).new.startswith("makes other now")


def test_a_spec_that_was_renamed_and_broken_is_followed(made: Project) -> None:
    (made.root / "spec.yaml").rename(made.root / "colors.yaml")
    (made.root / "colors.yaml").write_text(SPEC.replace("kind: Embedding", "kind: Embeding"))
    result = ftspec("drift", "--format", "json")
    assert result.exit_code == 1
    (model,) = json.loads(result.stdout)["models"]
    assert model["findings"] == []
    assert "its spec colors.yaml cannot be read" in model["unknown"][0]


def test_two_specs_that_may_stand_for_one_that_is_gone(made: Project) -> None:
    text = (made.root / "spec.yaml").read_text()
    (made.root / "spec.yaml").unlink()
    for name in ("a.yaml", "b.yaml"):
        (made.root / name).write_text(text)
    found = drift(made)
    assert found.findings == ()
    assert "a.yaml, b.yaml" in found.unknown[0]


def test_data(made: Project) -> None:
    write_rows(made.root / "rows.jsonl", rows()[:-1])
    finding = only(drift(made))
    assert (finding.kind, finding.severity) == (DriftKind.DATA, DriftSeverity.RELEVANT)
    assert finding.subject == "data source rows.jsonl"
    assert finding.old.startswith("60 rows ")
    assert finding.new.startswith("59 rows ")
    (made.root / "rows.jsonl").unlink()
    assert only(drift(made)).new.startswith("cannot be read: ")


def test_evaluation_data(project: Project) -> None:
    write_rows(project.root / "asked.jsonl", rows()[48:])
    write_rows(project.root / "rows.jsonl", rows()[:48])
    text = SPEC.replace(
        "  split: {by: positive, test: 0.3}",
        "  evaluation:\n    - type: file\n      path: asked.jsonl\n"
        "      roles: {query: question, positive: text, group: color}\n"
        "  split: {leakage: drop_train}",
    )
    (project.root / "spec.yaml").write_text(text)
    pretend_run(project, compiled_plan(project, Path("spec.yaml")))
    assert drift(project).findings == ()
    write_rows(project.root / "asked.jsonl", rows()[50:])
    finding = only(drift(project))
    assert (finding.kind, finding.severity) == (DriftKind.EVALUATION, DriftSeverity.RELEVANT)
    assert "asked.jsonl" in finding.subject
    assert "--behaviour" in finding.remedy


def test_base_model_files(made: Project) -> None:
    path = made.root / "tiny/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    finding = only(drift(made))
    assert (finding.kind, finding.severity) == (DriftKind.MODEL, DriftSeverity.RELEVANT)
    shutil.rmtree(made.root / "tiny")
    assert only(drift(made)).new.startswith("cannot be used: ")


def snapshot(hub: Path, tiny: Path, commit: str, *, change: str = "") -> None:
    place = hub / "models--org--tiny"
    shutil.copytree(tiny, place / "snapshots" / commit)
    if change == "weights":
        weights = place / "snapshots" / commit / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(commit)


@pytest.mark.parametrize("change", ["weights", "readme"])
def test_upstream_revision(project: Project, tiny: Path, tmp_path: Path, change: str) -> None:
    hub = tmp_path / "hub"
    snapshot(hub, tiny, COMMIT)
    path = project.root / "spec.yaml"
    path.write_text(SPEC.replace("base: ./tiny", "base: org/tiny"))
    pretend_run(project, compiled_plan(project, path))
    before = drift(project)
    assert before.findings == ()
    assert "not known offline" in before.unknown[0]
    snapshot(hub, tiny, NEXT, change=change)
    finding = only(drift(project))
    assert finding.kind is DriftKind.MODEL
    assert COMMIT[:12] in finding.old
    assert NEXT[:12] in finding.new
    assert finding.severity is (
        DriftSeverity.RELEVANT if change == "weights" else DriftSeverity.INFORMATIONAL
    )


def test_a_lock_holds_upstream_back(project: Project, tiny: Path, tmp_path: Path) -> None:
    snapshot(tmp_path / "hub", tiny, COMMIT)
    path = project.root / "spec.yaml"
    path.write_text(SPEC.replace("base: ./tiny", "base: org/tiny"))
    assert ftspec("lock", "spec.yaml").exit_code == 0
    pretend_run(project, compiled_plan(project, path))
    snapshot(tmp_path / "hub", tiny, NEXT, change="weights")
    finding = only(drift(project))
    assert finding.severity is DriftSeverity.INFORMATIONAL
    assert "ftspec lock --upgrade org/tiny" in finding.remedy


def test_registered_files(made: Project) -> None:
    weights = made.models / "tiny" / "v1" / "model.safetensors"
    weights.write_text("other weights")
    finding = only(drift(made))
    assert (finding.kind, finding.severity) == (DriftKind.ARTIFACT, DriftSeverity.RELEVANT)
    assert "changed or are missing" in finding.new


def test_promoted_version_is_gone(made: Project) -> None:
    point(made, "production")
    assert drift(made).used_as == ("production", "current")
    assert drift(made).findings == ()
    shutil.rmtree(made.models / "tiny")
    found = drift(made)
    assert found.used_as == ("production",)
    finding = only(found)
    assert finding.severity is DriftSeverity.RELEVANT
    assert finding.subject == "model tiny v1 in production"
    assert finding.new == "its files are not here"


def test_promoted_version_is_another_model(made: Project) -> None:
    point(made, "production", digest="sha256:" + "1" * 64)
    finding = only(drift(made))
    assert finding.severity is DriftSeverity.RELEVANT
    assert "ftspec promote tiny@v1 --to production" in finding.remedy


def test_stored_stages(made: Project) -> None:
    (altered,) = made.artifacts.glob("evaluate/*/result.json")
    altered.write_text("{}")
    finding = only(drift(made))
    assert (finding.subject, finding.severity) == ("stage evaluate", DriftSeverity.RELEVANT)
    shutil.rmtree(made.artifacts / "evaluate")
    finding = only(drift(made))
    assert finding.severity is DriftSeverity.INFORMATIONAL
    assert finding.subject == "stage evaluate"
    assert only(drift(made, quick=True)) == finding


def test_packages_and_hardware_are_informational(project: Project) -> None:
    plan = compiled_plan(project, Path("spec.yaml"))
    versions = {**present_versions(project, plan), "ftspec": "0.0.1", "gone": "1.0"}
    machine = {"digest": "sha256:" + "0" * 64, "summary": "an abacus"}
    pretend_run(project, plan, versions=versions, machine=machine)
    found = {(each.kind, each.subject): each for each in drift(project).findings}
    assert {each.severity for each in found.values()} == {DriftSeverity.INFORMATIONAL}
    assert found[DriftKind.ENVIRONMENT, "ftspec"].old == "0.0.1"
    assert found[DriftKind.ENVIRONMENT, "package gone"].new == "not there"
    assert found[DriftKind.HARDWARE, "machine"].old == "an abacus"
    result = ftspec("drift", "--detailed-exitcode")
    assert result.exit_code == 0
    assert "No relevant drift" in result.stdout
    assert "Drift" not in ftspec("plan", "spec.yaml").stdout


def test_formats_and_exit_codes(made: Project) -> None:
    write_rows(made.root / "rows.jsonl", rows()[:-1])
    assert ftspec("drift").exit_code == 0
    for arguments in ((), ("--all",), ("spec.yaml",)):
        assert ftspec("drift", *arguments, "--detailed-exitcode").exit_code == 2
    document = json.loads(ftspec("drift", "--format", "json").stdout)
    assert (document["relevant"], document["informational"]) == (1, 0)
    (finding,) = document["models"][0]["findings"]
    assert (finding["kind"], finding["severity"]) == ("data", "relevant")
    markdown = ftspec("drift", "--format", "markdown").stdout
    assert "| **relevant** | data source rows.jsonl |" in markdown
    assert ftspec("drift", "spec.yaml", "--all").exit_code == 64
    (made.root / "bad.yaml").write_text("apiVersion: ftspec/v1\nkind: Nothing\n")
    result = ftspec("drift", "spec.yaml", "bad.yaml", "--detailed-exitcode", "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["relevant"] == 1
    (made.root / "other.yaml").write_text(SPEC.replace("name: tiny", "name: other"))
    result = ftspec("drift", "other.yaml", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)["not_made"]) == (0, ["other"])


def test_text_of_users_is_escaped(made: Project) -> None:
    odd = "rows\x1b[31m|<b>.jsonl"
    (made.root / "rows.jsonl").rename(made.root / odd)
    plan_file = made.runs / "tiny-00000001" / "plan.json"
    plan_file.unlink()
    shutil.rmtree(made.models)
    shutil.rmtree(made.artifacts)
    path = made.root / "spec.yaml"
    path.write_text(SPEC.replace("path: rows.jsonl", 'path: "rows\\e[31m|<b>.jsonl"'))
    shutil.rmtree(made.state / "made")
    pretend_run(made, compiled_plan(made, path), run_id="tiny-00000002")
    (made.root / odd).unlink()
    for format_ in ("human", "markdown"):
        text = ftspec("drift", "--format", format_).stdout
        assert "\x1b" not in text
        assert "rows" in text
    assert "<b>" not in ftspec("drift", "--format", "markdown").stdout


def test_plan_tells_of_relevant_drift(made: Project) -> None:
    write_rows(made.root / "rows.jsonl", rows()[:-1])
    text = ftspec("plan", "spec.yaml").stdout
    _, _, section = text.partition("\nDrift\n")
    assert "tiny v1 (current)" in section
    assert "data source rows.jsonl" in section
    markdown = ftspec("plan", "spec.yaml", "--format", "markdown").stdout
    assert "<summary>Drift</summary>" in markdown
    result = ftspec("plan", "spec.yaml", "--format", "json")
    (model,) = json.loads(result.stdout)["drift"]
    assert [each["subject"] for each in model["findings"]] == ["data source rows.jsonl"]
    (made.root / "saved.ftplan").write_text(result.stdout)  # it is no part of the plan
    shown = json.loads(ftspec("show", "saved.ftplan", "--format", "json").stdout)
    assert "drift" not in shown
    assert shown["digest"] == json.loads(result.stdout)["digest"]


def test_a_run_that_is_gone_is_unknown(made: Project) -> None:
    shutil.rmtree(made.runs)
    found = drift(made)
    assert found.findings == ()
    assert "is gone" in found.unknown[0]


def test_a_fresh_checkout_knows_nothing(made: Project) -> None:
    point(made, "production")
    shutil.rmtree(made.state)
    found = drift(made)
    assert found.findings == ()
    assert "no state" in found.unknown[0]
    result = ftspec("drift", "--detailed-exitcode")
    assert result.exit_code == 0
    assert "not everything is known" in result.stdout
    assert "unknown: there is no state" in " ".join(result.stdout.split())
    assert "nothing moved" not in result.stdout


def test_a_finding_without_a_difference_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        DriftFinding(
            kind=DriftKind.DATA,
            subject="x",
            severity=DriftSeverity.RELEVANT,
            old="same",
            new="same",
            remedy="none",
        )


def test_drift_loads_nothing_heavy(made: Project) -> None:
    from tests.test_light import heavy_imports

    write_rows(made.root / "rows.jsonl", rows()[:-1])
    assert heavy_imports("drift", cwd=made.root) == []
    assert heavy_imports("plan", "spec.yaml", cwd=made.root) == []
