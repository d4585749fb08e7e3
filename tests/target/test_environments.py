"""Where a backend runs: the interpreter that the user named, what was installed, or this interpreter."""

import sys
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.paths import shared_folder
from ftspec.target.environments import (
    MARKER,
    EnvironmentKind,
    find_environment,
    installed_folder,
    interpreter_of,
    list_environments,
    name_interpreter,
    named_interpreter,
    read_pins,
    require_environment,
)
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from ftspec.target.packages import PackageState
from tests.target.test_load_targets import GOOD, write_backend
from tests.target.test_target_model import target

HERE = {"click": ">=8"}
NOWHERE = {"no-such-package": ">=1"}


def pinned(folder: Path, pins: str = "demo-lib==1.0\n", **changes: object) -> Target:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(pins)
    return target(folder=folder, requirements="requirements.txt", **changes)


def interpreter(path: Path, answer: str | None = None) -> Path:
    """A link to this Python, or a program that answers something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if answer is None:
        path.symlink_to(sys.executable)
    else:
        path.write_text(f"#!/bin/sh\n{answer}\n")
        path.chmod(0o755)
    return path


def test_this_interpreter_where_it_has_the_packages(tmp_path: Path) -> None:
    found = find_environment(tmp_path, target(packages=HERE))
    assert found is not None
    assert (found.kind, found.interpreter) == (EnvironmentKind.PRESENT, Path(sys.executable))
    assert found.usable
    assert list(found.versions) == ["click"]
    assert found.python == sys.version.split()[0]
    assert find_environment(tmp_path, target(packages=NOWHERE)) is None
    assert not list(tmp_path.iterdir())


def test_an_installed_environment_wins_over_this_interpreter(tmp_path: Path) -> None:
    demo = pinned(tmp_path / "demo", packages=HERE)
    folder = installed_folder(tmp_path, demo)
    assert folder is not None
    interpreter(interpreter_of(folder))
    assert _kind(tmp_path, demo) is EnvironmentKind.PRESENT  # no marker: an interrupted installation
    (folder / MARKER).write_text("")
    assert _kind(tmp_path, demo) is EnvironmentKind.INSTALLED
    (tmp_path / "demo" / "requirements.txt").write_text("demo-lib==1.1\n")
    assert _kind(tmp_path, demo) is EnvironmentKind.PRESENT  # made from other pins


def test_one_whose_interpreter_is_gone_is_not_taken(tmp_path: Path) -> None:
    demo = pinned(tmp_path / "demo", packages=HERE)
    folder = installed_folder(tmp_path, demo)
    assert folder is not None
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("")
    assert _kind(tmp_path, demo) is EnvironmentKind.PRESENT
    first, _ = list_environments(tmp_path, demo)
    assert (first.python, first.usable) == (None, False)
    assert [status.state for status in first.packages] == [PackageState.MISSING]


def test_a_named_interpreter_wins_and_is_not_left_in_silence(tmp_path: Path) -> None:
    demo = pinned(tmp_path / "demo", packages=HERE)
    mine = interpreter(tmp_path / "mine" / "python")
    name_interpreter(tmp_path, demo, mine)
    assert named_interpreter(tmp_path, demo) == mine  # the link itself, not where it leads
    assert require_environment(tmp_path, demo).kind is EnvironmentKind.NAMED
    mine.unlink()
    found = find_environment(tmp_path, demo)
    assert found is not None
    assert not found.usable
    with pytest.raises(FtspecError) as raised:
        require_environment(tmp_path, demo)
    (fault,) = raised.value.diagnostics
    assert fault.code.id == "FTS605"
    assert f"{mine} cannot be started" in fault.detail
    assert "ftspec backends remove demo" in fault.help
    name_interpreter(tmp_path, demo, None)
    assert _kind(tmp_path, demo) is EnvironmentKind.PRESENT


@pytest.mark.parametrize("answer", ["echo hello", "exit 3", "echo 2.7.18"])
def test_a_program_that_is_no_python(tmp_path: Path, answer: str) -> None:
    demo = target(packages=HERE)
    name_interpreter(tmp_path, demo, interpreter(tmp_path / "mine", answer))
    found = find_environment(tmp_path, demo)
    assert found is not None
    assert (found.python, found.usable, dict(found.versions)) == (None, False, {})


def test_the_command_that_mends_it(tmp_path: Path) -> None:
    for demo, command in (
        (target(packages=NOWHERE), "pip install demo"),
        (pinned(tmp_path / "demo", packages=NOWHERE), "ftspec backends install demo"),
    ):
        with pytest.raises(FtspecError) as raised:
            require_environment(tmp_path, demo)
        (fault,) = raised.value.diagnostics
        assert fault.code.id == "FTS605"
        assert "no-such-package >=1 (missing)" in fault.detail
        assert fault.help.startswith(command)


def test_the_place_depends_on_the_pins_alone(tmp_path: Path) -> None:
    plain = installed_folder(tmp_path, pinned(tmp_path / "a", "b==2\na==1\n"))
    assert plain is not None
    assert plain.parent == tmp_path / "backends" / "demo"
    assert plain == installed_folder(tmp_path, pinned(tmp_path / "b", "# why\n\na==1  # this\nb==2\n"))
    assert plain != installed_folder(tmp_path, pinned(tmp_path / "c", "a==1\nb==3\n"))
    (tmp_path / "b" / "more.txt").write_text("c==1\n")
    assert plain != installed_folder(
        tmp_path, pinned(tmp_path / "b", "a==1\nb==2\n", requirements_no_deps="more.txt")
    )
    assert installed_folder(tmp_path, target()) is None


@pytest.mark.parametrize(
    "line", ["torch>=2", "torch", "torch==2.*", "-r other.txt", "--index-url https://x/", "x @ https://x/x.whl",
             "torch==2 --hash=sha256:0", "torch==2 \\"],
)  # fmt: skip
def test_only_exact_pins(tmp_path: Path, line: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"fine==1.0\n{line}\n")
    with pytest.raises(FtspecError, match="FTS501"):
        read_pins(file)


def test_faults_of_target_yaml(tmp_path: Path) -> None:
    for extra, detail in (
        ("requirements: none.txt\n", "the file `none.txt` is missing"),
        ("requirements_no_deps: main.py\n", "`requirements_no_deps` goes with `requirements`"),
        ("environment: {A-B: c}\n", "A-B"),
        ("emit: {file: a.yaml, commands: [{run: [go]}]}\n", "`emit` goes with `emit_only`"),
    ):
        targets, found = load_targets([write_backend(tmp_path / extra[:14].strip(": "), GOOD + extra)])
        assert targets == ()
        assert any(detail in item.detail for item in found), list(found)


def test_shipped_pins_satisfy_what_the_backend_asks_for() -> None:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    for each in load_targets([shared_folder("backends")])[0]:
        if each.requirements is None:
            continue
        files = [each.requirements, *([each.requirements_no_deps] if each.requirements_no_deps else [])]
        pins = [Requirement(pin) for file in files for pin in read_pins(each.folder / file)]
        versions = {(canonicalize_name(pin.name), next(iter(pin.specifier)).version) for pin in pins}
        pinned_versions = dict(versions)  # a package may stand twice, for two systems, in one version
        assert len(pinned_versions) == len(versions), each.name
        for name, required in each.packages.items():
            assert SpecifierSet(required).contains(pinned_versions[canonicalize_name(name)]), (
                each.name,
                name,
            )


def _kind(state: Path, demo: Target) -> EnvironmentKind | None:
    found = find_environment(state, demo)
    return None if found is None else found.kind
