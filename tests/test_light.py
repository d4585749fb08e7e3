"""Commands that compile load no training stack, and no library before it is used."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.paths import shared_folder

HEAVY = ("torch", "transformers", "sentence_transformers", "accelerate", "datasets", "peft", "mlx", "unsloth",
         "duckdb", "jinja2", "scipy", "pyarrow", "ir_measures")  # fmt: skip

# The imports are looked at when the command has ended, also when it ended by an exit.
PROGRAM = f"""
import json, sys
from ftspec.cli.main import cli
try:
    cli(sys.argv[1:], prog_name="ftspec")
finally:
    print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)
"""


def heavy_imports(*arguments: str, cwd: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose caches are warm, with a saved plan."""
    folder = tmp_path_factory.mktemp("light")
    shutil.copytree(shared_folder("specs"), folder / "specs")
    heavy_imports("plan", "specs/pairs.yaml", "--out", "change.ftplan", cwd=folder)
    heavy_imports("plan", "specs/pairs.yaml", "--set", "train.seed=1", "--out", "other.ftplan", cwd=folder)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("apply", "--help"),
        ("validate", "specs/pairs.yaml", "specs/quickstart.yaml"),
        ("plan", "specs/pairs.yaml"),
        ("lock", "specs/pairs.yaml"),
        ("plan", "specs/pairs.yaml", "--locked"),
        ("plan", "specs/pairs.yaml", "--format", "json"),
        ("plan", "specs/pairs.yaml", "--format", "markdown", "--hardware", "h100x8"),
        ("show", "change.ftplan"),
        ("explain", "change.ftplan", "train.learning_rate"),
        ("explain", "FTS301"),
        ("fmt", "--check", "specs/pairs.yaml"),
        ("schema",),
        ("models", "list"),
        ("backends", "list"),
        ("runs",),
        ("history",),
        ("promote", "--help"),
        ("drift",),
        ("unlock",),
        ("diff", "change.ftplan", "other.ftplan"),
        ("diff", "change.ftplan", "specs/pairs.yaml", "--format", "markdown"),
        ("diff", "specs/pairs.yaml@laptop-cpu", "@h100x8", "--format", "json"),
        ("diff", "--rules"),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(planned: Path, arguments: tuple[str, ...]) -> None:
    assert heavy_imports(*arguments, cwd=planned) == []


# Rooms and libraries that a comparison of two plans has no use for.
NOT_FOR_PLANS = ("ftspec.resolve", "ftspec.passes", "ftspec.spec", "ftspec.source", "ftspec.hardware.detect", "ftspec.data",
                 "ftspec.models", "ftspec.lower", "ruamel", "yaml", "numpy", "rich", "tokenizers")  # fmt: skip
MOST_MODULES = 340

COUNT = f"""
import json, sys
from ftspec.cli.main import cli
try:
    cli(sys.argv[1:], prog_name="ftspec")
finally:
    wrong = [name for name in {NOT_FOR_PLANS!r} if name in sys.modules]
    print(json.dumps([len(sys.modules), wrong]), file=sys.stderr)
"""


def test_two_plans_are_compared_with_few_modules(planned: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, "diff", "change.ftplan", "other.ftplan"],
        cwd=planned, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, wrong = json.loads(done.stderr.splitlines()[-1])
    assert wrong == []
    assert count <= MOST_MODULES


# What only a plan that does not fit, or one of the other kind, has a use for.
NOT_FOR_EMBEDDING = ("ftspec.passes.remedies", "ftspec.estimate.decoder", "ftspec.estimate.decoder_time", "ftspec.models.decoder")  # fmt: skip


def test_an_embedding_model_is_planned_without_what_is_for_other_plans(planned: Path) -> None:
    program = PROGRAM.replace(repr(HEAVY), repr(NOT_FOR_EMBEDDING))
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", "specs/pairs.yaml"],
        cwd=planned, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
