"""How long `ftspec plan --all --since main` takes over 200 specs with three changed: at most five times one plan.

    python benchmarks/plan_all.py [--specs 200] [--repeats 5]

Whole processes, in a git repository of its own; caches are warm.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import FTSPEC, REPOSITORY, Check, Report, in_turn, median, parser

BOUND = 5.0
CHANGED = 3
ONE, ALL = "ftspec plan SPEC", "ftspec plan --all --since main"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--specs", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_repository(folder, options.specs)
        seconds = in_turn(
            {
                ONE: [FTSPEC, "plan", "specs/pairs-000.yaml"],
                ALL: [
                    FTSPEC,
                    "plan",
                    "--all",
                    "--since",
                    "main",
                    "--format",
                    "markdown",
                    "--out-dir",
                    "plans",
                ],
            },
            repeats=options.repeats,
            cwd=folder,
        )
        written = len(list((folder / "plans").glob("*.ftplan")))
        assert written == CHANGED, f"{written} plan files, not {CHANGED}"
    one, all_ = median(seconds[ONE]), median(seconds[ALL])
    report = Report(benchmark="plan_all", numbers={"specs": options.specs, "seconds": seconds})
    report.checks += [
        Check(name=ONE, value=one, unit="s"),
        Check(
            name=f"{ALL}, {CHANGED} of {options.specs} specs / one plan",
            value=all_ / one,
            unit="x",
            bound=BOUND,
            note=f"{all_:.2f} s",
        ),
    ]
    return report.finish(options.out)


def make_repository(folder: Path, count: int) -> None:
    """`count` specs on `main`, over data of their own; in the working tree the learning rate of one, the
    metrics of another and the data of a third are others."""
    text = (REPOSITORY / "specs" / "pairs.yaml").read_text(encoding="utf-8")
    data = folder / "specs" / "data"
    data.mkdir(parents=True)
    for number in range(count):
        name = f"pairs-{number:03}"
        spec = text.replace("name: pairs", f"name: {name}").replace("http-pairs.jsonl", f"{name}.jsonl")
        (folder / "specs" / f"{name}.yaml").write_text(spec, encoding="utf-8")
        shutil.copyfile(REPOSITORY / "specs" / "data" / "http-pairs.jsonl", data / f"{name}.jsonl")
    (folder / ".gitignore").write_text(".ftspec/\nplans/\n", encoding="utf-8")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "specs"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *command], cwd=folder, check=True)
    replace(folder / "specs" / "pairs-001.yaml", "\ntrain:\n", "\ntrain:\n  learning_rate: 5e-5\n")
    replace(folder / "specs" / "pairs-002.yaml", "recall@5]", "recall@5, recall@10]")
    with (data / "pairs-003.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question": "a teapot", "answer": "that pours no coffee", "class": "client error"}\n')


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
