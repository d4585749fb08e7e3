"""How long `ftspec apply` takes, as a whole process, when nothing has changed: at most 2 s.

    python benchmarks/unchanged_apply.py [--repeats 5]

Applies `specs/pairs.yaml` in a scratch project once, then again and again.
"""

import json
import sys
import tempfile

from measuring import FTSPEC, REPOSITORY, Check, Report, in_turn, median, parser, run

BOUND_SECONDS = 2.0
VERDICTS = (0, 5, 6)  # a gate may fail or stay open: that is not what is measured


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    spec = str(REPOSITORY / "specs" / "pairs.yaml")
    with tempfile.TemporaryDirectory() as folder:
        command = [FTSPEC, "apply", spec, "--yes", "--format", "json", "--project", folder]
        first = run(command, expected=VERDICTS)
        again = []
        for _ in range(options.repeats):
            finished = run(command, expected=VERDICTS)
            verdict = json.loads(finished.output.splitlines()[-1])["verdict"]
            assert verdict == "unchanged", f"a repeated apply says {verdict}"
            again.append(finished.seconds)
        plan = [FTSPEC, "plan", spec, "--project", folder]
        planning = in_turn({"plan": plan}, repeats=options.repeats)["plan"]
    report = Report(
        benchmark="unchanged_apply",
        numbers={"first_seconds": first.seconds, "seconds": again, "plan": planning},
    )
    report.checks.append(
        Check(
            name="second, unchanged apply",
            value=median(again),
            unit="s",
            bound=BOUND_SECONDS,
            note=f"slowest of {len(again)}: {max(again):.2f} s; the first took {first.seconds:.0f} s",
        )
    )
    report.checks.append(Check(name="ftspec plan where a run is stored", value=median(planning), unit="s"))
    return report.finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
