"""What the system refuses ends in one line and exit code 1."""

import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.cli.main import cli

FULL = Path("/dev/full")
SPEC = Path(__file__).parents[1] / "specs" / "quickstart.yaml"


def test_refused_file_is_one_line(monkeypatch, capsys):
    def refuse(*_args, **_more):
        raise PermissionError(13, "Permission denied", "/shared/.ftspec/lock")

    monkeypatch.setattr("click.Group.main", refuse)
    with pytest.raises(SystemExit) as end:
        cli.main(["runs"])
    assert end.value.code == 1
    assert capsys.readouterr().err == "Error: Permission denied (/shared/.ftspec/lock)\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_full_stdout_is_one_line():
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from ftspec.cli.main import main; main()", "validate", str(SPEC)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")
