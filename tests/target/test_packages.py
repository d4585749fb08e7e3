import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.target import packages
from ftspec.target.packages import PackageState, check_packages, is_usable
from tests.target.test_target_model import target


@pytest.mark.parametrize(
    ("installed", "required", "state"),
    [
        ("2.13.0", ">=2.8", PackageState.OK),
        ("2.13.0+cpu", ">=2.8,<3", PackageState.OK),
        ("2.13.0.dev1", ">=2.8", PackageState.OK),
        ("1.0", "", PackageState.OK),
        ("2.7.9", ">=2.8,<3", PackageState.TOO_OLD),
        ("2.7", "==2.8.*", PackageState.TOO_OLD),
        ("3.0", ">=2.8,<3", PackageState.OUT_OF_RANGE),
        ("2.9.1", ">=2.8,!=2.9.1", PackageState.OUT_OF_RANGE),
        ("banana", ">=1", PackageState.OUT_OF_RANGE),
        (None, ">=1", PackageState.MISSING),
    ],
)
def test_states(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, required: str, state: PackageState
) -> None:
    monkeypatch.setattr(packages, "_own_versions", lambda names: {"torch": installed} if installed else {})
    (status,) = check_packages(target(packages={"torch": required}))
    assert (status.name, status.installed, status.required, status.state) == (
        "torch",
        installed,
        required,
        state,
    )
    assert is_usable([status]) == (state is PackageState.OK)


def test_this_interpreter() -> None:
    here = {"pydantic": ">=2", "Click": ">=8", "no-such-package": ">=1"}
    states = [status.state for status in check_packages(target(packages=here))]
    assert states == [PackageState.OK, PackageState.OK, PackageState.MISSING]


def test_another_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    demo = target(packages={"no-such-package": ">=1"})
    assert check_packages(demo, python)[0].state is PackageState.MISSING
    with pytest.raises(OSError, match="nowhere"):
        check_packages(demo, tmp_path / "nowhere")


def test_imports_nothing_of_them() -> None:
    program = (
        "import sys; from tests.target.test_target_model import target\n"
        "from ftspec.target.packages import check_packages\n"
        "check_packages(target(packages={'torch': '', 'transformers': ''}))\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
