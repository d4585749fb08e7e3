"""A spec that goes back to what it was: its earlier version is current again, and nothing is trained."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.store.files import file_sha256, files_below
from ftspec.store.registry import REGISTRATION
from ftspec.target.environments import BackendEnvironment, find_environment
from ftspec.target.model import Target
from tests.e2e.harness import actions, apply, environment, ftspec, ftspec_json

pytestmark = pytest.mark.slow


@pytest.fixture
def reverted(copied: Path) -> Path:
    """In git: v1, then other gates, which made v2, then back. The last commit was not applied yet."""
    (copied / "plans").mkdir()
    (copied / ".gitignore").write_text("/plans/\n/tiny/\n")
    _git(copied, "init", "--quiet")
    before = (copied / "spec.yaml").read_text(encoding="utf-8")
    _commit(copied, before)
    _commit(copied, before.replace("min: 0.05", "min: 0.04") + "export: {path: served}\n")
    made = apply(copied)
    assert (made["model"]["version"], made["current_before"]) == ("v2", "v1")
    assert set(actions(copied).values()) == {"reuse"}
    _commit(copied, before)
    return copied


def test_the_earlier_version_is_current_again(reverted: Path) -> None:
    planned = ftspec("plan", "spec.yaml", "--detailed-exitcode", cwd=reverted, exits=2)
    assert "tiny: current moves from v2 back to v1, nothing else runs" in planned.stderr
    assert [name for name, action in actions(reverted).items() if action == "run"] == ["register"]
    done = ftspec("apply", "spec.yaml", "--yes", cwd=reverted)
    assert "It is current now; before, v2 was." in done.stdout
    assert _current(reverted) == ["v1"]
    result = apply(reverted)
    assert (result["verdict"], result["model"]["version"], result["current_before"]) == (
        "unchanged", "v1", None,
    )  # fmt: skip
    assert "agree" in ftspec("state", "verify", cwd=reverted).stdout


def test_a_plan_file_does_it_too(reverted: Path) -> None:
    plans = ftspec_json("plan", "--all", "--since", "HEAD~1", "--out-dir", "plans", cwd=reverted)
    (spec,) = plans["specs"]
    assert spec["stages"] == ["register"]
    assert [each["code"] for each in spec["diagnostics"]] == ["FTS687"]
    assert "back to v1" in (reverted / "plans" / "comment.md").read_text(encoding="utf-8")
    result = apply(reverted, subject=spec["plan"]["file"])
    assert (result["model"]["version"], result["current_before"]) == ("v1", "v2")
    assert _current(reverted) == ["v1"]
    assert ftspec_json("plan", "--all", "--since", "HEAD~1", cwd=reverted)["specs"][0]["stages"] == []


def test_a_damaged_version_comes_in_anew(reverted: Path) -> None:
    (reverted / ".ftspec" / "models" / "tiny" / "v1" / "README.md").write_text("other words")
    result = apply(reverted)
    assert (result["model"]["version"], result["current_before"]) == ("v3", "v2")
    assert apply(reverted)["verdict"] == "unchanged"


def test_the_version_itself_is_exported_and_packages_of_today_made_none(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = copied / "spec.yaml"
    before = spec.read_text(encoding="utf-8") + "export: {path: served}\n"
    for text in (before, before.replace("min: 0.05", "min: 0.04"), before):
        spec.write_text(text, encoding="utf-8")
        if text != before or not (copied / "served").exists():
            apply(copied)
    models = copied / ".ftspec" / "models" / "tiny"
    assert _contents(copied / "served") == _contents(models / "v3")

    def upgraded(state: Path, target: Target) -> BackendEnvironment | None:
        found = find_environment(state, target)
        assert found is not None
        packages = tuple(replace(each, installed="9.9.9") for each in found.packages)
        return replace(found, python="9.9.9", packages=packages)

    monkeypatch.setattr("ftspec.driver.running.find_environment", upgraded)
    monkeypatch.chdir(copied)
    _apply_here()
    assert _current(copied) == ["v2"]
    assert _contents(copied / "served") == _contents(models / "v2")
    # What comes in anew was made by no others either.
    (models / "v2" / "README.md").write_text("other words")
    spec.write_text(before.replace("min: 0.05", "min: 0.04"), encoding="utf-8")
    _apply_here()
    spec.write_text(before, encoding="utf-8")
    _apply_here()
    assert _current(copied) == ["v4"]
    made = [json.loads((models / name / "ftspec.json").read_text()) for name in ("v1", "v2", "v4")]
    assert made[0]["environment"] == made[1]["environment"] == made[2]["environment"]
    assert "9.9.9" not in (models / "v4" / "README.md").read_text(encoding="utf-8")
    assert _contents(copied / "served") == _contents(models / "v4")


def _apply_here() -> None:
    done = CliRunner().invoke(cli, ["apply", "spec.yaml", "--yes"])
    assert done.exit_code == 0, done.output


def _contents(folder: Path) -> dict[str, str]:
    return {name: file_sha256(path) for name, path in files_below(folder) if name != REGISTRATION}


def _current(folder: Path) -> list[str]:
    return [each["version"] for each in ftspec_json("models", "list", cwd=folder) if each["current"]]


def _commit(folder: Path, spec: str) -> None:
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "spec")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=environment(), check=True, capture_output=True)
