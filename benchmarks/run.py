"""Run all benchmarks and print one table: what was measured, the bound, pass or fail.

    python benchmarks/run.py [--quick] [--only startup,validate_many] [--markdown]

All of it takes about half an hour on two cores; `--quick` takes a few minutes and leaves out what needs a
full training to mean anything. Exit code 1 when a bound is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import HEAD, Check, check_row, machine_line, parser, table

HERE = Path(__file__).resolve().parent

# Name -> program and its options, then those of --quick; None: not in --quick.
BENCHMARKS: dict[str, tuple[list[str], list[str] | None]] = {
    "startup": (["startup.py"], ["--repeats", "3"]),
    "validate_many": (["validate_many.py"], ["--specs", "100"]),
    "plan_all": (["plan_all.py"], ["--repeats", "2"]),
    "unchanged_apply": (["unchanged_apply.py"], ["--repeats", "3"]),
    "calibrate_time": (["calibrate_time.py"], ["--steps", "3"]),
    "train_vs_plain": (["train_vs_plain.py"], None),
    "beir": (["beir/run.py"], None),
    "raft": (["raft/run.py"], None),
}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", metavar="NAMES", help=f"of {', '.join(BENCHMARKS)}")
    arguments.add_argument("--markdown", action="store_true", help="a table for a README")
    options = arguments.parse_args()
    names = list(BENCHMARKS) if options.only is None else options.only.split(",")
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        arguments.error(f"no benchmark {', '.join(unknown)}")
    documents = [document for name in names if (document := measure(name, options)) is not None]
    checks = [Check(**known(entry)) for document in documents for entry in document["checks"]]
    rows = [HEAD, *(check_row(check) for check in checks)]
    print(f"\n{machine_line()}\n")
    print(markdown(rows) if options.markdown else table(rows))
    if options.out is not None:
        options.out.write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(check.passed is False for check in checks))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """The result of one benchmark, which runs in its own process; None where --quick leaves it out."""
    command, quick = BENCHMARKS[name]
    if options.quick and quick is None:
        return None
    program, *settings = [*command, *(quick or [] if options.quick else [])]
    print(f"== {name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        child = subprocess.run(
            [sys.executable, str(HERE / program), *settings, "--out", str(out)],
            stdout=sys.stderr,
            check=False,
        )
        if not out.is_file():
            raise SystemExit(f"{name} ended with exit code {child.returncode} and no result")
        document: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return document


def known(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "passed"}


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same table as GitHub shows it."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
