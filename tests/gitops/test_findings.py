"""Drift (FTS694) and disagreements of a lock as findings that point at a line."""

import json
import os
from pathlib import Path

import pytest

from ftspec.driver.findings import drift_findings
from ftspec.plan.drift import DriftFinding, DriftKind, DriftReport, DriftSeverity, ModelDrift
from ftspec.view.diagnostics import render_diagnostics
from tests.gitops.conftest import Repository


def report(path: str, *kinds: DriftKind) -> DriftReport:
    severities = (DriftSeverity.RELEVANT, DriftSeverity.INFORMATIONAL)
    findings = tuple(
        DriftFinding(
            kind=kind, subject=f"the {kind}", severity=severities[index % 2], old="a", new="b", remedy="ftspec apply"
        )
        for index, kind in enumerate(kinds)
    )  # fmt: skip
    model = ModelDrift(
        name="pairs",
        version="v1",
        used_as=("current",),
        spec_path=path,
        run_id="r",
        made="",
        findings=findings,
    )
    return DriftReport(models=(model,))


def test_drift_points_at_the_key_that_asks_for_what_moved(repository: Repository) -> None:
    found = drift_findings(report("specs/pairs.yaml", *DriftKind))
    lines = {each.detail.split(": ")[1]: each.primary.line for each in found if each.primary is not None}
    text = repository.path("specs/pairs.yaml").read_text(encoding="utf-8").splitlines()
    assert text[lines["the model"] - 1].strip().startswith("base:")
    assert text[lines["the data"] - 1].strip() == "train:"
    assert text[lines["the artifact"] - 1].strip() == "name: pairs"
    assert lines["the hardware"] == 1
    assert [str(each.level) for each in found][:2] == ["warning", "note"]
    assert render_diagnostics(found, "github").startswith("::warning file=specs/pairs.yaml,line=8,")
    assert json.loads(render_diagnostics(found, "sarif"))["runs"][0]["results"][0]["ruleId"] == "FTS694"


@pytest.mark.parametrize("path", ["", "gone.yaml"])
def test_drift_of_a_spec_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (one,) = drift_findings(report(path, DriftKind.MODEL))
    assert one.primary is None
    assert one.detail == "pairs v1: the model: a → b"


def test_drift_of_nothing(repository: Repository) -> None:
    assert repository.run("drift", "--format", "github", "--detailed-exitcode").stdout == ""
    assert json.loads(repository.run("drift", "--format", "sarif").stdout)["runs"][0]["results"] == []


def test_a_lock_that_disagrees(repository: Repository) -> None:
    repository.run("lock")
    assert repository.run("lock", "--check", "--format", "github").stdout == ""
    with repository.path("specs/data/http-pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question": "a teapot", "answer": "that pours", "class": "client error"}\n')
    lines = repository.run("lock", "--check", "--format", "github", code=1).stdout.splitlines()
    assert len(lines) == 1
    number = int(lines[0].partition(",line=")[2].partition(",")[0])
    assert lines[0].startswith("::error file=ftspec.lock,")
    assert "http-pairs.jsonl" in repository.path("ftspec.lock").read_text().splitlines()[number - 1]
    line = repository.run("plan", "--all", "--locked", "--format", "github", code=1).stdout.splitlines()[0]
    assert line.startswith("::error file=specs/pairs.yaml,line=")
    assert "FTS630" in line
    repository.path("ftspec.lock").write_text("<<<<<<< ours\n{}")
    assert "FTS631" in repository.run("lock", "--check", "--format", "github", code=1).stdout


@pytest.mark.parametrize("command", [("validate", "{spec}"), ("plan", "{spec}"), ("plan", "--all")])
@pytest.mark.parametrize("folder", [".", "specs", "elsewhere"])
def test_files_are_named_as_the_checkout_names_them(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], folder: str
) -> None:
    """GitHub shows an annotation beside its line only where the path starts at the top of the repository."""
    repository.replace("specs/pairs.yaml", "kind: Embedding", "kind: Embeddin")
    repository.path("elsewhere").mkdir()
    monkeypatch.chdir(repository.path(folder))
    spec = os.path.relpath(repository.path("specs/pairs.yaml"))
    for workspace, name in (
        ("", "specs/pairs.yaml"),
        ("..", "project/specs/pairs.yaml"),
        ("/elsewhere", "specs/pairs.yaml"),
    ):
        monkeypatch.setenv("GITHUB_WORKSPACE", workspace and str((repository.top / workspace).resolve()))
        words = [each.format(spec=spec) for each in command]
        words += [] if command[0] == "validate" else ["--project", str(repository.top)]
        text = repository.run(*words, "--format", "github", code=1).stdout
        assert f"::error file={name},line=3," in text
        if command[0] == "validate":
            (run,) = json.loads(repository.run(*words, "--format", "sarif", code=1).stdout)["runs"]
            place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
            assert place == {"uri": name}


def test_a_value_of_the_command_line_is_in_no_file(repository: Repository) -> None:
    text = repository.run(
        "validate", "specs/pairs.yaml", "--set", "train.epochs=x", "--format", "github", code=1
    ).stdout
    assert "file=" not in text


def test_without_a_spec_all_of_the_project_are_checked(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository.run("validate").stdout == "2 specs valid\n"
    repository.replace("specs/pairs.yaml", "kind: Embedding", "kind: Embeddin")
    repository.path("ftspec.lock").write_text("")  # the mark of the root
    monkeypatch.chdir(repository.path("specs"))
    assert "FTS201" in repository.run("validate", code=1).stderr
    monkeypatch.chdir(repository.top.parent)
    repository.path("specs").rename(repository.top.parent / ".hidden")
    assert "there is no spec below" in repository.run("validate", code=64).output
