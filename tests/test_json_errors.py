"""Errors of commands with `--format json`: a diagnostics document on stderr, whichever command it is."""

import json
from pathlib import Path

import pytest

from ftspec.cli.main import cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments, prog_name="ftspec")
    assert isinstance(left.value.code, int)
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "show", "nothing"),
        ("eval", "nothing"),
        ("query", "nothing", "text"),
        ("show", "nothing"),
        ("sql", "select from where"),
        ("apply", "nothing.yaml"),
        ("promote", "nothing", "--to", "production", "--yes"),
        ("rollback", "nothing", "--to", "production", "--yes"),
        ("unlock", "0badcafe"),
        ("synth", "nothing.yaml"),
        ("eject", "nothing.yaml", "--to", "there"),
    ],
)
def test_one_document(arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".ftspec").mkdir()
    code, said = run(capsys, *arguments, "--format", "json", "--project", str(tmp_path))
    assert code != 0
    document = json.loads(said)
    assert document["diagnostics"][0]["code"].startswith("FTS")


@pytest.mark.parametrize(
    "arguments",
    [("history",), ("gc", "--yes"), ("models", "list"), ("rollback", "any", "--to", "production", "--yes")],
)
def test_an_environments_file_with_a_conflict(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ftspec.environments.json").write_text("<<<<<<< ours\n")
    code, said = run(capsys, *arguments, "--format", "json", "--project", str(tmp_path))
    (found,) = json.loads(said)["diagnostics"]
    assert (code, found["code"]) == (1, "FTS680")


def test_people_are_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = run(capsys, "models", "show", "nothing", "--project", str(tmp_path))
    assert said.startswith("error")
