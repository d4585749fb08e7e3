"""Apply the specs of this folder, and say what came of each, whichever way it fell.

    python benchmarks/beir/run.py [scifact medquad tldr] [--set PATH=VALUE]

Needs the data sets in `../shared/data` beside the repository; one that is absent is left out and named.
Each spec is applied in a scratch project of its own, so nothing is reused, and no estimate is calibrated
by an earlier run. There is no bound: the table is what was measured.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measuring import FTSPEC, Check, Report, parser, run, table  # noqa: E402

from ftspec.store.project import Project  # noqa: E402
from ftspec.store.run_record import RunRecord, all_records  # noqa: E402

NAMES = ("scifact", "medquad", "tldr")
DATA = HERE.parents[2] / "shared" / "data"
METRIC = "ndcg@10"
VERDICTS = (0, 5, 6)  # passed, failed, inconclusive: all are results
GIB = 1024**3


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    arguments.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    options = arguments.parse_args()
    names = options.names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        arguments.error(f"no spec {', '.join(unknown)}")
    report = Report(benchmark="beir")
    for name in names:
        if not (DATA / name).is_dir():
            print(f"{name}: left out, there is no {DATA / name}", file=sys.stderr)
            continue
        print(f"{name}: applying", file=sys.stderr, flush=True)
        numbers = report.numbers[name] = measure(name, options.overrides)
        print(f"{name}: {check(name, numbers).note}", file=sys.stderr, flush=True)
    print(table([HEAD, *(row(name, numbers) for name, numbers in report.numbers.items())]), end="\n\n")
    report.checks = [check(name, numbers) for name, numbers in report.numbers.items()]
    return report.finish(options.out)


def measure(name: str, overrides: list[str]) -> dict[str, Any]:
    changes = [word for override in overrides for word in ("--set", override)]
    with tempfile.TemporaryDirectory() as folder:
        command = [FTSPEC, "apply", str(HERE / f"{name}.yaml"), "--yes", "--format", "json", *changes]
        started = time.perf_counter()
        finished = run([*command, "--project", folder], expected=VERDICTS)
        seconds = time.perf_counter() - started
        result = json.loads(finished.output.splitlines()[-1])
        project = Project(Path(folder))
        (record,) = all_records(project)[0]
        summary = json.loads(
            (project.artifacts / "evaluate" / evaluate_folder(project) / "summary.json").read_text("utf-8")
        )
    metric = next(each for each in summary["metrics"] if each["metric"] == METRIC)
    return {
        "verdict": result["verdict"],
        "queries": summary["queries"],
        "documents": summary["documents"],
        "base": metric["base"]["mean"],
        "tuned": metric["tuned"]["mean"],
        "gain": metric["gain"],
        "p_value": metric["p_value"],
        "seconds": seconds,
        **estimates(record),
    }


def evaluate_folder(project: Project) -> str:
    (folder,) = (project.artifacts / "evaluate").iterdir()
    return folder.name


def estimates(record: RunRecord) -> dict[str, Any]:
    found = record.estimate
    return {
        "steps": found.train_steps,
        "precision": found.precision,
        "predicted_seconds": found.predicted_wall_seconds,
        "measured_seconds": found.measured_wall_seconds,
        "predicted_stage_seconds": found.predicted_stage_seconds,
        "measured_stage_seconds": found.measured_stage_seconds,
        "predicted_peak_memory_bytes": found.predicted_peak_memory_bytes,
        "measured_peak_memory_bytes": found.measured_peak_memory_bytes,
    }


HEAD = [
    "set", "queries", "documents", "steps", "base", "tuned", "gain", "95 % interval", "verdict",
    "train s", "whole s", "predicted s", "peak GiB", "predicted GiB",
]  # fmt: skip


def row(name: str, numbers: dict[str, Any]) -> list[str]:
    gain = numbers["gain"]
    return [
        name,
        f"{numbers['queries']:,}",
        f"{numbers['documents']:,}",
        str(numbers["steps"]),
        f"{numbers['base']:.3f}",
        f"{numbers['tuned']:.3f}",
        f"{gain['mean']:+.3f}",
        f"[{gain['low']:+.3f}, {gain['high']:+.3f}]",
        numbers["verdict"],
        f"{numbers['measured_stage_seconds']['train']:.0f}",
        f"{numbers['seconds']:.0f}",
        f"{numbers['predicted_seconds']:.0f}",
        f"{numbers['measured_peak_memory_bytes'] / GIB:.2f}",
        f"{numbers['predicted_peak_memory_bytes'] / GIB:.2f}",
    ]


def check(name: str, numbers: dict[str, Any]) -> Check:
    gain = numbers["gain"]
    return Check(
        name=f"{name}: gain in {METRIC}",
        value=gain["mean"],
        unit="",
        note=(
            f"{numbers['verdict']}: {numbers['base']:.3f} → {numbers['tuned']:.3f} "
            f"[{gain['low']:+.3f}, {gain['high']:+.3f}], {numbers['seconds']:.0f} s"
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
