"""What the benchmarks share: whole processes timed in turn, bounds, tables and results as JSON."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ftspec.hardware.detect import detect

REPOSITORY = Path(__file__).resolve().parent.parent
QUICKSTART = REPOSITORY / "specs" / "quickstart.yaml"
FTSPEC = str(Path(sys.executable).with_name("ftspec"))  # the console script beside this interpreter
HEAD = ("", "measured", "bound", "", "detail")
PACKAGES = ("ftspec", "torch", "transformers", "sentence-transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A value and the bound that it must not pass. `bound` None: reported only."""

    name: str
    value: float
    unit: str  # x (a ratio) | s | ""
    bound: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        return None if self.bound is None else self.value <= self.bound


@dataclass(slots=True, kw_only=True)
class Report:
    """The result of one benchmark: checks for the table, `numbers` for whoever reads the JSON."""

    benchmark: str
    checks: list[Check] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def finish(self, out: Path | None) -> int:
        """Print the table, write the JSON; 1 when a bound was missed, else 0."""
        print(machine_line())
        print(table([HEAD, *(check_row(check) for check in self.checks)]))
        if out is not None:
            document = {
                "benchmark": self.benchmark,
                "machine": machine(),
                "checks": [asdict(check) | {"passed": check.passed} for check in self.checks],
                "numbers": self.numbers,
            }
            out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return int(any(check.passed is False for check in self.checks))


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that every benchmark has."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
    return found


def machine() -> dict[str, Any]:
    """Where and with what a number was measured; `load` is the mean number of running processes."""
    return {
        "summary": detect().summary(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[0], 2),
    }


def machine_line() -> str:
    facts = machine()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return f"{facts['summary']}; Python {facts['python']}, {packages}; load {facts['load']}"


def environment(**changes: str) -> dict[str, str]:
    """That of a user's shell: byte code is kept, threads are the libraries' choice, nothing is fetched."""
    skipped = {"PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "FTSPEC_BACKEND_PATH"}
    kept = {name: value for name, value in os.environ.items() if name not in skipped}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", **changes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    seconds: float  # of the whole process, from its start to its end
    code: int
    output: str  # stdout
    errors: str  # stderr


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    expected: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> Finished:
    """A child process, timed. Ends the benchmark with what the child wrote when its exit code surprises."""
    started = time.perf_counter()
    child = subprocess.run(
        list(command),
        cwd=cwd,
        env=dict(environment() if env is None else env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    seconds = time.perf_counter() - started
    if child.returncode not in expected:
        words = " ".join(command[:6])
        raise SystemExit(
            f"{words}: exit code {child.returncode}\n{child.stdout[-3000:]}{child.stderr[-3000:]}"
        )
    return Finished(seconds=seconds, code=child.returncode, output=child.stdout, errors=child.stderr)


def in_turn(
    commands: Mapping[str, Sequence[str]], *, repeats: int, cwd: Path | None = None
) -> dict[str, list[float]]:
    """Seconds of each command, `repeats` times, each round in the same order after one to warm up: what
    else the machine does meanwhile then falls on all of them."""
    for command in commands.values():
        run(command, cwd=cwd)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            seconds[name].append(run(command, cwd=cwd).seconds)
    return seconds


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def amount(value: float, unit: str) -> str:
    return f"{value:.2f} s" if unit == "s" else f"{value:.3f}{' ' + unit if unit else ''}"


def check_row(check: Check) -> list[str]:
    verdict = {None: "", True: "pass", False: "FAIL"}[check.passed]
    bound = "" if check.bound is None else f"≤ {check.bound:g}{' ' + check.unit if check.unit else ''}"
    return [check.name, amount(check.value, check.unit), bound, verdict, check.note]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; the first is words, the others are numbers or notes."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
