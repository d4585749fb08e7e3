"""How long `validate`, `plan`, `show` and `diff` take as whole processes, against `python -c "import torch"`.

    python benchmarks/startup.py [--repeats 9]

Caches are warm: byte code, data and model digests. At most one quarter of importing torch.
"""

import sys
import tempfile
from pathlib import Path

from measuring import FTSPEC, QUICKSTART, Check, Report, in_turn, median, parser, run

BOUND = 0.25
TORCH = 'python -c "import torch"'


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=9)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = ["--project", folder]
        plan = Path(folder) / "quickstart.ftplan"
        other = Path(folder) / "other.ftplan"
        run([FTSPEC, "plan", str(QUICKSTART), "--out", str(plan), *project])
        run([FTSPEC, "plan", str(QUICKSTART), "--set", "train.seed=1", "--out", str(other), *project])
        seconds = in_turn(
            {
                TORCH: [sys.executable, "-c", "import torch"],
                "ftspec validate": [FTSPEC, "validate", str(QUICKSTART)],
                "ftspec plan": [FTSPEC, "plan", str(QUICKSTART), *project],
                "ftspec show": [FTSPEC, "show", str(plan), *project],
                "ftspec diff": [FTSPEC, "diff", str(plan), str(other), *project],
            },
            repeats=options.repeats,
        )
    medians = {name: median(values) for name, values in seconds.items()}
    torch = medians.pop(TORCH)
    report = Report(benchmark="startup", numbers={"seconds": seconds})
    report.checks.append(Check(name=TORCH, value=torch, unit="s"))
    for name, value in medians.items():
        report.checks.append(
            Check(
                name=f"{name} / import torch",
                value=value / torch,
                unit="x",
                bound=BOUND,
                note=f"{value:.2f} s",
            )
        )
    return report.finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
