"""A saved plan runs only in the world that it was made for; and the other exit codes of refusal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import FTSPEC, apply, environment, ftspec, rows, write_rows

pytestmark = pytest.mark.slow

HOLD = """
import sys
from pathlib import Path
from ftspec.store.leases import project_lease
from ftspec.store.project import Project
with project_lease(Project(Path.cwd()), "a long errand"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def saved(fresh: Path) -> Path:
    ftspec("plan", "spec.yaml", "--out", "change.ftplan", cwd=fresh)
    return fresh


def refusal(folder: Path) -> str:
    said = ftspec("apply", "change.ftplan", "--yes", cwd=folder, exits=3).stderr
    assert not (folder / ".ftspec/runs").exists()
    return said


def test_data_moved(saved: Path) -> None:
    write_rows(saved / "rows.jsonl", rows()[:-1])
    said = refusal(saved)
    assert "FTS602" in said
    assert "rows.jsonl" in said


def test_spec_moved(saved: Path) -> None:
    text = (saved / "spec.yaml").read_text(encoding="utf-8")
    (saved / "spec.yaml").write_text(text.replace("1.0e-3", "2.0e-3"), encoding="utf-8")
    said = refusal(saved)
    assert "FTS602" in said
    assert "train.learning_rate" in said
    assert "spec.yaml" in said


def test_weights_moved(saved: Path) -> None:
    path = saved / "tiny/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    said = refusal(saved)
    assert "FTS602" in said
    assert "./tiny" in said


def test_plan_file_edited(saved: Path) -> None:
    plan = json.loads((saved / "change.ftplan").read_text(encoding="utf-8"))
    plan["train"]["learning_rate"] = 0.5
    (saved / "change.ftplan").write_text(json.dumps(plan), encoding="utf-8")
    said = refusal(saved)
    assert "change.ftplan" in said


def test_packages_moved(saved: Path) -> None:
    """An interpreter that says of torch what another version would say."""
    python = saved / "python"
    python.write_text(
        f"""#!/bin/bash\nsaid=$("{sys.executable}" "$@") || exit\necho "${{said//\\"torch\\": \\"/\\"torch\\": \\"9.}}"\n"""
    )
    python.chmod(0o755)
    ftspec("backends", "use", "accelerate", "--python", python, cwd=saved)
    said = refusal(saved)
    assert "FTS602" in said
    assert "package torch of accelerate" in said
    assert "→ 9." in said


def test_production_moved(copied: Path) -> None:
    ftspec("plan", "spec.yaml", "--out", "change.ftplan", cwd=copied)
    ftspec("promote", "tiny", "--to", "production", "--yes", cwd=copied)
    said = ftspec("apply", "change.ftplan", "--yes", cwd=copied, exits=3).stderr
    assert "production of tiny: nothing → v1" in said


def test_applied_again(copied: Path) -> None:
    """Nothing moved and everything is stored: it says so, and no second run begins."""
    runs = sorted((copied / ".ftspec/runs").iterdir())
    result = apply(copied, subject="change.ftplan")
    assert result["verdict"] == "unchanged"
    assert sorted((copied / ".ftspec/runs").iterdir()) == runs


def test_base_commit(saved: Path) -> None:
    for arguments in (["init", "-q"], ["add", "spec.yaml"], ["commit", "-q", "-m", "one"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=saved, check=True)
    ftspec("plan", "spec.yaml", "--out", "change.ftplan", cwd=saved)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "two"], cwd=saved, check=True)
    text = (saved / "spec.yaml").read_text(encoding="utf-8")
    (saved / "spec.yaml").write_text(text.replace("1.0e-3", "2.0e-3"), encoding="utf-8")
    said = " ".join(refusal(saved).split())
    assert "train.learning_rate: 0.001 → 0.002 (planned at commit" in said


def test_other_hardware(fresh: Path) -> None:
    """A plan for a machine with more runs here as it was planned; one for a machine with a GPU does not."""
    ftspec("plan", "spec.yaml", "--hardware", "laptop-cpu", "--out", "change.ftplan", cwd=fresh)
    done = ftspec("apply", "change.ftplan", "--yes", "--format", "json", cwd=fresh, exits=None)
    assert "FTS634" in done.stderr, done.stderr
    assert done.returncode in (0, 5, 6), done.stderr
    (record,) = fresh.glob(".ftspec/runs/*/record.json")
    assert json.loads(record.read_text(encoding="utf-8"))["machine"]["name"] == "this-machine"
    ftspec("plan", "spec.yaml", "--hardware", "h100x8", "--out", "change.ftplan", cwd=fresh)
    said = ftspec("apply", "change.ftplan", "--yes", cwd=fresh, exits=3).stderr
    assert "cuda, of which this machine has 0" in " ".join(said.split())


def test_touching_files_makes_no_plan_stale(saved: Path) -> None:
    """Times and inodes prove nothing: the digest of the compiled plan is the same."""
    before = json.loads((saved / "change.ftplan").read_text(encoding="utf-8"))["digest"]
    for path in (saved / "rows.jsonl", saved / "tiny/model.safetensors", saved / "spec.yaml"):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    ftspec("plan", "spec.yaml", "--out", "again.ftplan", cwd=saved)
    assert json.loads((saved / "again.ftplan").read_text(encoding="utf-8"))["digest"] == before


def test_a_saved_plan_takes_no_overrides(saved: Path) -> None:
    ftspec("apply", "change.ftplan", "--yes", "--set", "train.seed=1", cwd=saved, exits=64)


def test_usage(fresh: Path) -> None:
    ftspec("apply", cwd=fresh, exits=64)
    ftspec("plan", "spec.yaml", "--no-such-option", cwd=fresh, exits=64)
    assert "apply" in ftspec("aply", "spec.yaml", cwd=fresh, exits=64).stderr


def test_closed_streams_are_no_crash(fresh: Path) -> None:
    command = '"$0" apply spec.yaml <&-; echo $?; "$0" plan spec.yaml 2>&- >&-; echo $?'
    done = subprocess.run(
        ["bash", "-c", command, FTSPEC],
        cwd=fresh,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-2:] == ["64", "0"]
    assert "--yes" in done.stderr
    assert "Traceback" not in done.stderr


def test_faults_of_a_spec(fresh: Path) -> None:
    said = ftspec(
        "apply", "spec.yaml", "--yes", "--set", "train.learning_rate=fast", cwd=fresh, exits=1
    ).stderr
    assert "train.learning_rate" in said
    ftspec("plan", "missing.yaml", cwd=fresh, exits=1)
    said = ftspec("plan", "spec.yaml", "--set", "data.train.0.path=gone.jsonl", cwd=fresh, exits=1).stderr
    assert "gone.jsonl" in said


def test_a_held_project_is_not_entered(fresh: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=fresh, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = ftspec("apply", "spec.yaml", "--yes", cwd=fresh, exits=4).stderr
        assert "FTS601" in said
        assert "a long errand" in said
        assert str(holder.pid) in said
    finally:
        holder.communicate(timeout=30)
    assert not (fresh / ".ftspec/runs").exists()
