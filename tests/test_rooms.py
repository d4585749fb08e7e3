"""The rooms of the package know only what ARCHITECTURE allows them to know."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "ftspec"

ALLOWED = {
    "diagnostics": set(),
    "source": {"diagnostics"},
    "plan": {"diagnostics"},
    "spec": {"source", "plan", "diagnostics"},
    "hardware": {"source", "diagnostics"},
    "target": {"source", "diagnostics"},
    "estimate": {"plan", "hardware", "target"},
    "store": {"plan", "diagnostics"},
    "models": {"store", "plan", "diagnostics"},
    "synth": {"plan", "diagnostics"},
    "data": {"synth", "store", "plan", "diagnostics"},
    "resolve": {"spec", "source", "hardware", "target", "plan", "estimate", "diagnostics"},
    "passes": {"plan", "hardware", "target", "estimate", "diagnostics"},
    "lower": {"plan", "target", "diagnostics"},
    "run": {"lower", "store", "data", "plan", "diagnostics"},
    "evaluate": {"store", "plan", "diagnostics"},
    "serve": {"evaluate", "store", "plan", "diagnostics"},
    "view": {"serve", "evaluate", "run", "store", "models", "data", "synth", "hardware", "target", "plan", "estimate", "diagnostics"},
    "driver": {
        "spec", "source", "hardware", "target", "plan", "estimate", "store", "models", "data", "synth", "resolve",
        "passes", "lower", "run", "evaluate", "serve", "diagnostics",
    },
}  # fmt: skip
EVERYWHERE = {"paths"}  # where shared folders lie


def _rooms_imported(module: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("ftspec.")}
    return rooms


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_room_imports_only_what_it_may(room: str) -> None:
    modules = sorted((PACKAGE / room).rglob("*.py"))
    assert modules, f"room {room} is gone; update ALLOWED"
    wrong = {
        str(module.relative_to(PACKAGE)): surplus
        for module in modules
        if (surplus := _rooms_imported(module) - ALLOWED[room] - EVERYWHERE - {room})
    }
    assert not wrong


def test_every_room_is_listed() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert rooms - {"cli"} == set(ALLOWED)


def test_package_init_files_are_empty() -> None:
    full = [str(path) for path in PACKAGE.glob("*/__init__.py") if path.read_text(encoding="utf-8").strip()]
    assert not full


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 420
    }
    assert not long
