import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftspec.cli.doctor import doctor_command
from ftspec.hardware.profiles import load_hardware, profile_names
from tests.target.test_load_targets import GOOD, write_backend

CLEAN = ("NO_COLOR", "FORCE_COLOR", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "FTSPEC_BACKEND_PATH")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    shipped = write_backend(tmp_path / "shipped", GOOD.replace("torch:", "click:").replace("2.8", "8"))
    monkeypatch.setattr("ftspec.target.load.shared_folder", lambda name: shipped)
    return


def doctor(*arguments: str) -> int:
    status = doctor_command.main(list(arguments), prog_name="doctor", standalone_mode=False)
    assert isinstance(status, int)
    return status


def test_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor() == 0
    out, err = capsys.readouterr()
    assert "demo  ready" in out
    assert "this-machine" in out
    assert all(name in out for name in profile_names())
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    assert err == ""


def test_nothing_usable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace('">=2.8"', '">=9000"\n  no-such-package: ">=1"').replace("torch:", "click:")
    folder = write_backend(tmp_path / "bad", text)
    monkeypatch.setattr("ftspec.target.load.shared_folder", lambda name: folder)
    assert doctor() == 1
    out = capsys.readouterr().out
    assert "demo  not usable" in out
    assert "too old, needs >=9000" in out
    assert "      pip install demo\n" in out
    assert doctor("--format", "json") == 1
    packages = json.loads(capsys.readouterr().out)["backends"][0]["packages"]
    assert [item["mend"] for item in packages] == [
        "pip install 'click>=9000'",
        "pip install 'no-such-package>=1'",
    ]


def test_no_device_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace("[cpu]", "[cuda]").replace("torch:", "click:")
    folder = write_backend(tmp_path / "gpu", text)
    monkeypatch.setattr("ftspec.target.load.shared_folder", lambda name: folder)
    assert doctor("--hardware", "laptop-cpu") == 1
    assert "no device here that it runs on" in capsys.readouterr().out
    assert doctor("--hardware", "t4", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["backends"][0]["devices_here"] == ["cuda"]


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor("--hardware", "h100x8", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["hardware"]["name"] == "h100x8"
    assert len(document["hardware"]["accelerators"]) == 8
    assert document["models"]["offline_by"] == "HF_HUB_OFFLINE=1"
    assert document["models"]["offline"] is True
    assert document["backends"][0]["usable"] is True
    assert [item["name"] for item in document["profiles"]] == list(profile_names())


def test_offline_switched_off_is_not_offline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    doctor("--format", "json")
    assert json.loads(capsys.readouterr().out)["models"]["offline"] is False


def test_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "box.yaml"
    assert doctor("--save", str(path), "--format", "json") == 0
    out, err = capsys.readouterr()
    assert str(path) in err
    hardware, found = load_hardware(path)
    assert hardware is not None, list(found)
    assert hardware.digest() == json.loads(out)["hardware"]["digest"]


def test_unknown_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        doctor("--hardware", "t5")
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "FTS309" in err


def test_color_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    doctor()
    assert "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    doctor()
    assert "\x1b[" not in capsys.readouterr().out


def test_hostile_description_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_backend(tmp_path / "x", GOOD.replace("A backend.", '"\\e[2J [red]x"'))
    monkeypatch.setenv("FTSPEC_BACKEND_PATH", os.fspath(folder))
    monkeypatch.setattr("ftspec.target.load.shared_folder", lambda name: tmp_path)
    doctor()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]x" in out
