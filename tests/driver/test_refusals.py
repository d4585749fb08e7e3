"""What `apply` refuses before it trains, and how it tells a verdict."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ftspec.cli.exits import OF_VERDICT, exit_code
from ftspec.cli.main import cli
from ftspec.diagnostics.code import find_code
from ftspec.diagnostics.model import Diagnostic
from ftspec.paths import shared_folder
from ftspec.target.model import Target
from ftspec.target.packages import PackageState, PackageStatus, check_packages


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _apply() -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["apply", "specs/pairs.yaml", "--yes"])
    return result.exit_code, " ".join(result.stderr.split())


def test_fts605_missing_packages(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_torch(target: Target, interpreter: Path | None = None) -> tuple[PackageStatus, ...]:
        return tuple(
            PackageStatus(name=each.name, required=each.required, installed=None, state=PackageState.MISSING)
            if each.name == "torch"
            else each
            for each in check_packages(target, interpreter)
        )

    monkeypatch.setattr("ftspec.target.packages.check_packages", without_torch)
    code, text = _apply()
    assert code == 1
    assert "error[FTS605]: the backend's packages are not installed" in text
    assert "torch >=2.8 (missing)" in text
    assert "help: pip install" in text
    assert not list(project.glob(".ftspec/artifacts/train*"))


def test_fts617_full_disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftspec.driver.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    code, text = _apply()
    assert code == 1
    assert "error[FTS617]: not enough disk space" in text
    assert "help: free some space" in text


@pytest.mark.parametrize(
    ("verdict", "code", "status"), [("failed", "FTS801", 5), ("inconclusive", "FTS802", 6)]
)
def test_a_verdict_has_its_exit_code(verdict: str, code: str, status: int) -> None:
    known = find_code(code)
    assert known is not None
    assert OF_VERDICT[verdict] == exit_code([Diagnostic(code=known)]) == status
