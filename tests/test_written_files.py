"""Files that commands write where the user says."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from ftspec.cli.main import cli
from ftspec.paths import shared_folder


@pytest.mark.parametrize(
    ("template", "data"),
    [
        ("chat", ("http-chats.jsonl",)),
        ("completion", ("pairs.jsonl",)),
        ("raft", ("http-documents.jsonl", "http-questions.jsonl")),
    ],
)
def test_init_writes_specs_of_llms_that_plan(
    template: str, data: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = shared_folder("specs") / "data"
    shutil.copytree(examples / "tiny-llm", "base")
    rows = [json.dumps({"prompt": f"Q {n}?\n", "completion": f"A {n}."}) for n in range(40)]
    Path("pairs.jsonl").write_text("\n".join(rows), encoding="utf-8")
    for name in data:
        if not Path(name).exists():
            shutil.copyfile(examples / name, name)
    Path("specs").mkdir()
    more = ["--questions", data[1]] if len(data) == 2 else []
    command = ["init", "specs/mine.yaml", "--from", template, "--path", data[0]]
    assert CliRunner().invoke(cli, [*command, *more]).exit_code == 64  # no base
    done = CliRunner().invoke(cli, [*command, *more, "--base", "base"])
    assert (done.exit_code, done.stderr.count("note")) == (0, 0), done.output
    text = Path("specs/mine.yaml").read_text(encoding="utf-8")
    assert "base: ../base" in text
    assert "learning_rate" not in text
    planned = CliRunner().invoke(cli, ["plan", "specs/mine.yaml", "--hardware", "rtx4090"])
    assert planned.exit_code == 0, planned.output


@pytest.mark.parametrize(
    ("file", "path", "written"),
    [
        ("specs/mine.yaml", "src", "../src"),
        ("mine.yaml", "src", "src"),
        ("specs/mine.yaml", "stdlib", "stdlib"),
        ("specs/mine.yaml", "/data/code", "/data/code"),
        ("specs/mine.yaml", "${env:CODE}", "${env:CODE}"),
    ],
)
def test_init_writes_paths_as_the_spec_reads_them(
    file: str, path: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    done = CliRunner().invoke(cli, ["init", file, "--path", path])
    assert done.exit_code == 0, done.output
    assert YAML(typ="safe").load(Path(file))["data"]["train"][0]["path"] == written


def test_a_place_that_cannot_be_written_is_no_crash() -> None:
    done = CliRunner().invoke(cli, ["init", "/proc/no-such-file.yaml"])
    assert done.exit_code == 1
    assert "/proc/no-such-file.yaml" in done.output


def test_fmt_keeps_links_and_permissions_and_mends_line_ends(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_bytes(b"kind: Embedding\r\nmetadata:\r\n  name: a\r\n")
    real.chmod(0o600)
    link.symlink_to(real)
    done = CliRunner().invoke(cli, ["fmt", str(link)])
    assert done.exit_code == 0, done.output
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert real.read_bytes() == b"kind: Embedding\nmetadata:\n  name: a\n"


def test_a_plan_never_takes_the_place_of_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("kind: Embedding")
    assert CliRunner().invoke(cli, ["plan", str(spec), "--out", str(spec)]).exit_code == 64
    assert spec.read_text() == "kind: Embedding"


@pytest.mark.parametrize("option", ["--base", "--questions", "--path"])
@pytest.mark.parametrize("empty", ["", " "])
def test_what_is_empty_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, empty: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"--base": "acme/mini", "--questions": "questions.jsonl", "--path": "data", option: empty}
    words = [word for pair in given.items() for word in pair]
    done = CliRunner().invoke(cli, ["init", "spec.yaml", "--from", "raft", *words])
    assert done.exit_code == 64, done.output
    assert f"{option} is empty" in done.stderr
    assert not Path("spec.yaml").exists()
