"""Projects that several tests look at. A test that changes one copies it, or makes its own."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import apply, ftspec, ftspec_json, write_project
from tests.tiny_model import make_tiny_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A project whose spec was planned and applied once, undisturbed."""

    folder: Path
    plan: dict[str, Any]  # before the apply
    result: dict[str, Any]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Applied from a saved plan. Read it, and leave it as it is."""
    folder = write_project(tmp_path_factory.mktemp("finished") / "project", tiny_model)
    ftspec("plan", "spec.yaml", "--out", "change.ftplan", cwd=folder)
    plan = ftspec_json("show", "change.ftplan", cwd=folder)
    return Finished(folder=folder, plan=plan, result=apply(folder, subject="change.ftplan"))


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    folder = tmp_path / "project"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return folder


@pytest.fixture
def fresh(tiny_model: Path, tmp_path: Path) -> Path:
    """A project that was never applied."""
    return write_project(tmp_path / "project", tiny_model)
