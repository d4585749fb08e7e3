"""`ftspec backends`: environments are made by the real pip from wheels that lie in a folder."""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.driver.backends import InstallProgress, install_backend, install_log
from ftspec.paths import shared_folder
from ftspec.store.project import Project
from ftspec.target.environments import MARKER, EnvironmentKind, find_environment, installed_folder
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from tests.target.test_load_targets import GOOD, write_backend
from tests.wheels import make_wheel

PINNED = GOOD.replace('torch: ">=2.8"', 'demo-lib: ">=1"\n  odd-lib: ">=2"').replace(
    "install: pip install demo",
    "install: pip install demo\nrequirements: requirements.txt\nrequirements_no_deps: last.txt\n"
    "environment: {DEMO_QUIET: '1'}",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project, a backend `demo` with pins, and pip that sees a folder of wheels and nothing else."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "demo-lib", "1.0")
    make_wheel(wheels, "odd-lib", "2.0", requires=["nowhere-to-be-had>=9"])
    folder = write_backend(tmp_path / "backends", PINNED)
    (folder / "demo" / "requirements.txt").write_text("# a comment\ndemo-lib==1.0\n")
    (folder / "demo" / "last.txt").write_text("odd-lib==2.0\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ftspec.target.load.shared_folder", lambda name: folder)
    monkeypatch.delenv("FTSPEC_BACKEND_PATH", raising=False)
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project")


def call(project: Project, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner(env={"COLUMNS": "300"}).invoke(
        cli, ["backends", command, "--project", str(project.root), *rest]
    )


def demo() -> Target:
    (found,), _ = load_targets()
    return found


def place(project: Project) -> Path:
    folder = installed_folder(project.state, demo())
    assert folder is not None
    return folder


def test_install_use_and_remove(project: Project, tmp_path: Path) -> None:
    (before,) = json.loads(call(project, "list", "--format", "json").stdout)
    assert (before["usable"], before["used"], before["install"]) == (
        False,
        None,
        "ftspec backends install demo",
    )
    assert not project.state.exists()

    result = call(project, "install", "demo")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "making an environment (2 packages)")
    python = place(project) / "bin" / "python"
    assert f"demo, installed for this project: Python {sys.version.split()[0]}, {python}" in result.stdout
    words = "import demo_lib, odd_lib, sys; print(sys.prefix)"
    ran = subprocess.run([python, "-I", "-c", words], capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()).samefile(place(project))
    log = install_log(project, demo())
    assert log is not None
    assert "Successfully installed demo-lib-1.0" in log.read_text()

    stamp = (place(project) / MARKER).stat().st_mtime_ns
    again = json.loads(call(project, "install", "demo", "--format", "json").stdout)
    assert (again["kind"], again["versions"]) == ("installed", {"demo-lib": "1.0", "odd-lib": "2.0"})
    assert (place(project) / MARKER).stat().st_mtime_ns == stamp

    other = tmp_path / "mine"
    other.symlink_to(python)
    refused = call(project, "use", "demo", "--python", sys.executable)
    assert (refused.exit_code, "FTS605" in refused.stderr) == (1, True)
    assert "demo-lib >=1 (missing)" in refused.stderr
    used = call(project, "use", "demo", "--python", str(python))
    assert (used.exit_code, "named by you" in used.stdout) == (0, True), used.output
    (listed,) = json.loads(call(project, "list", "--format", "json").stdout)
    assert (listed["used"], [each["kind"] for each in listed["environments"]]) == (
        "named",
        ["named", "installed", "present"],
    )
    assert "demo  ready" in call(project, "list").stdout

    declined = CliRunner().invoke(
        cli, ["backends", "remove", "--project", str(project.root), "demo"], input="n\n"
    )
    assert declined.exit_code == 130
    assert place(project).is_dir()
    removed = call(project, "remove", "demo", "--yes")
    assert removed.stdout.splitlines() == [f"removed {place(project)}", f"removed {python}"]
    assert find_environment(project.state, demo()) is None
    assert call(project, "remove", "demo", "--yes").stdout == ""


def test_an_interrupted_installation_is_done_again(project: Project) -> None:
    folder = place(project)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half")
    steps = []
    made = install_backend(project, demo(), observe=lambda each: steps.append(each.step))
    assert (made.kind, made.usable) == (EnvironmentKind.INSTALLED, True)
    assert steps[0] == "creating"
    assert {"collecting", "installing"} <= set(steps)


def test_stopped_by_the_user_and_done_again_with_other_pins(project: Project) -> None:
    def stop(progress: InstallProgress) -> None:
        if progress.step == "collecting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install_backend(project, demo(), observe=stop)
    first = place(project)
    assert first.is_dir()
    assert not (first / MARKER).exists()
    (demo().folder / "requirements.txt").write_text("demo-lib==1.0  # the same\n")
    assert place(project) == first
    make_wheel(project.root.parent / "wheels", "demo-lib", "1.1")
    (demo().folder / "requirements.txt").write_text("demo-lib==1.1\n")
    made = install_backend(project, demo(), observe=lambda progress: None)
    assert made.versions["demo-lib"] == "1.1"
    assert not first.exists()  # what other pins left


def test_fts660_an_index_that_lacks_a_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (demo().folder / "requirements.txt").write_text("demo-lib==7.0\n")
    secret = "s3cret-t0ken"
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://me:{secret}@localhost:9/simple")
    monkeypatch.setenv("PIP_VERBOSE", "1")
    result = call(project, "install", "demo")
    assert result.exit_code == 1
    assert "error[FTS660]" in result.stderr
    assert "demo-lib==7.0" in result.stderr
    assert not (place(project) / MARKER).exists()
    assert find_environment(project.state, demo()) is None
    log = install_log(project, demo())
    assert log is not None
    assert "demo-lib==7.0" in log.read_text()
    assert secret not in log.read_text() + result.output


def test_one_installation_at_a_time(project: Project) -> None:
    project.create()
    lock = project.state / "backends" / "demo" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = call(project, "install", "demo")
    assert result.exit_code == 4
    assert "another installation of demo runs" in result.stderr


def test_what_cannot_be_installed(project: Project) -> None:
    unknown = call(project, "install", "dmo")
    assert (unknown.exit_code, "did you mean `demo`?" in unknown.stderr) == (1, True)
    text = (demo().folder / "target.yaml").read_text()
    (demo().folder / "target.yaml").write_text(text.split("requirements:")[0] + text.split("last.txt\n")[1])
    result = call(project, "install", "demo")
    assert result.exit_code == 1
    assert "demo names no exact versions" in result.stderr
    assert "pip install demo" in result.stderr
    assert call(project, "use", "demo", "--python", "/nowhere").exit_code == 64


def test_programs_run_in_the_interpreter_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "my python"
    mine.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    mine.chmod(0o755)
    used = CliRunner().invoke(cli, ["backends", "use", "accelerate", "--python", mine.name])
    assert used.exit_code == 0, used.output

    def fake_launch(folder: Path, *, interpreter: str, **more: object) -> None:
        fault = Diagnostic(code=codes.TRAINING_FAILED, detail=f"launched by {interpreter}")
        raise FtspecError(fault)

    monkeypatch.setattr("ftspec.run.launch.launch", fake_launch)
    words = ["apply", "specs/pairs.yaml", "--yes"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1
    assert f"launched by {mine}" in " ".join(result.stderr.split())
    mine.unlink()
    gone = CliRunner().invoke(cli, words)
    assert "FTS605" in gone.stderr
    assert "my python cannot be started" in " ".join(gone.stderr.split())


def test_doctor_shows_them(project: Project) -> None:
    words = ["doctor", "--hardware", "laptop-cpu", "--project", str(project.root)]
    before = CliRunner().invoke(cli, words)
    assert before.exit_code == 1
    assert "      ftspec backends install demo\n" in before.stdout
    assert call(project, "install", "demo").exit_code == 0
    after = CliRunner().invoke(cli, [*words, "--format", "json"])
    (backend,) = json.loads(after.stdout)["backends"]
    assert (after.exit_code, backend["usable"], backend["environment"]["kind"]) == (0, True, "installed")
    human = " ".join(CliRunner().invoke(cli, words).stdout.split())
    assert "installed for this project: Python" in human
