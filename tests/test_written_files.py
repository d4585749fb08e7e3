"""Files that commands write where the user says."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from ftspec.cli.main import cli


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
