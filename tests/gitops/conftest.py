"""A project in a real git repository: two specs over one data file, on the branch `main`."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.paths import shared_folder


@dataclass
class Repository:
    top: Path

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.top, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message: str = "change") -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def path(self, name: str) -> Path:
        return self.top / name

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text(encoding="utf-8")
        assert old in text
        self.path(name).write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, [*arguments])
        assert not isinstance(result.exception, Exception), result.exception
        assert result.exit_code == code, result.output
        return result


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """With `specs/pairs.yaml` and `specs/classes.yaml` committed, and a branch `change` checked out."""
    for name in ("CI", "GITHUB_ACTIONS", "GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    made = Repository(tmp_path / "project")
    (made.top / "specs" / "data").mkdir(parents=True)
    for name in ("pairs.yaml", "classes.yaml", "data/http-pairs.jsonl", "data/http-classes.jsonl"):
        shutil.copyfile(shared_folder("specs") / name, made.path(f"specs/{name}"))
    made.git("init", "-q", "-b", "main")
    made.path(".gitignore").write_text(".ftspec/\nplans/\n")
    made.commit("first")
    made.git("checkout", "-qb", "change")
    monkeypatch.chdir(made.top)
    return made
