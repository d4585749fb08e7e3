"""Training through ftspec against a plain sentence-transformers script of the same specification.

    python benchmarks/train_vs_plain.py [--repeats 2] [--rows 1024] [--queries 500]

Both train on the same rows of the quickstart's split, in fp32, each in its own process, in turn; the
fastest round of each counts, because what else runs on the machine only adds. Compared are the seconds of
the training itself (by ftspec with its checkpoints), the whole processes (imports, loading, saving and, by
ftspec, the check for collapse), and nDCG@10 on the held-out modules: the interval of the difference over
the same queries must not lie below zero. `plain_script.py` is the script.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import REPOSITORY, Check, Finished, Report, environment, parser, run

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.driver.facts import request_of_plan
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import Evidence
from ftspec.lower.lower import LowerInputs, lower
from ftspec.plan.model import Action, Plan
from ftspec.store.project import Project

SLOWER_AT_MOST = 1.03  # two runs of one program differ by as much on a quiet machine
METRIC = "ndcg@10"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=2)
    arguments.add_argument("--rows", type=int, default=1024)
    arguments.add_argument("--queries", type=int, default=500)
    arguments.add_argument("--keep", type=Path, metavar="FOLDER", help="work there and leave everything")
    options = arguments.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        return compare(options, options.keep)
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, Path(folder))


def compare(options: argparse.Namespace, scratch: Path) -> int:
    compiled = compile_for(options.rows, options.queries, scratch)
    plan = compiled.plan
    split = make_split(plan, scratch)
    ours: list[Finished] = []
    plain: list[Finished] = []
    for repeat in range(options.repeats):
        print(f"round {repeat + 1} of {options.repeats}: ftspec", file=sys.stderr, flush=True)
        ours.append(launch(run_folder(compiled, split, scratch / f"ftspec-{repeat}"), "train"))
        print(f"round {repeat + 1} of {options.repeats}: the plain script", file=sys.stderr, flush=True)
        plain.append(launch_plain(plan, split, scratch / f"plain-{repeat}"))
    our_seconds = [info(scratch / f"ftspec-{repeat}")["seconds"] for repeat in range(options.repeats)]
    plain_seconds = [
        json.loads((scratch / f"plain-{repeat}" / "result.json").read_text(encoding="utf-8"))["seconds"]
        for repeat in range(options.repeats)
    ]
    print("encoding the held-out side with both models", file=sys.stderr, flush=True)
    evidence = judge(compiled, split, scratch)
    over_plain = evidence["plain", "ftspec"].summary.metric(METRIC)
    over_base = evidence["base", "ftspec"].summary.metric(METRIC)

    report = Report(benchmark="train_vs_plain")
    train_ratio = min(our_seconds) / min(plain_seconds)
    whole = [min(each.seconds for each in some) for some in (ours, plain)]
    report.checks += [
        Check(
            name="training seconds, ftspec / plain script",
            value=train_ratio,
            unit="x",
            bound=SLOWER_AT_MOST,
            note=f"{seconds_text(our_seconds)} against {seconds_text(plain_seconds)}",
        ),
        Check(
            name="whole process, ftspec / plain script",
            value=whole[0] / whole[1],
            unit="x",
            note=f"{whole[0]:.1f} s against {whole[1]:.1f} s",
        ),
        Check(
            name=f"{METRIC} by which the plain script is better (95 % sure)",
            value=0.0 - over_plain.gain.high,
            unit="",
            bound=0.0,
            note=(
                f"base {over_base.base.mean:.3f}, plain {over_plain.base.mean:.3f}, "
                f"ftspec {over_plain.tuned.mean:.3f}; difference {over_plain.gain.mean:+.3f} "
                f"[{over_plain.gain.low:+.3f}, {over_plain.gain.high:+.3f}]"
            ),
        ),
    ]
    report.numbers = {
        "rows": plan.data.facts.train_rows,
        "steps": plan.train.total_steps,
        "precision": plan.execution.precision,
        "training_seconds": {"ftspec": our_seconds, "plain": plain_seconds},
        "process_seconds": {
            "ftspec": [each.seconds for each in ours],
            "plain": [each.seconds for each in plain],
        },
        "peak_memory_bytes": {
            "ftspec": info(scratch / "ftspec-0")["peak_memory_bytes"],
            "predicted": None if plan.estimates is None else plan.estimates.peak_memory_bytes,
        },
        METRIC: {
            "base": over_base.base.mean,
            "plain": over_plain.base.mean,
            "ftspec": over_plain.tuned.mean,
            "difference": [over_plain.gain.mean, over_plain.gain.low, over_plain.gain.high],
        },
    }
    return report.finish(options.out)


def compile_for(rows: int, queries: int, scratch: Path) -> Compilation:
    """The quickstart with these sizes, 128 tokens, in fp32; every stage is to run."""
    compiled, found = compile_spec(
        REPOSITORY / "specs" / "quickstart.yaml",
        project=Project(scratch),
        overrides=(
            "model.max_seq_length=128",
            f"data.limit.train={rows}",
            f"data.limit.test_queries={queries}",
            "resources.precision=fp32",
            "resources.device=cpu",
        ),
    )
    assert compiled is not None, "; ".join(str(item) for item in found)
    plan = compiled.plan
    stages = tuple(replace(stage, action=Action.RUN) for stage in plan.stages)
    return replace(compiled, plan=replace(plan, stages=stages))


def make_split(plan: Plan, scratch: Path) -> Path:
    from ftspec.data.stages import ingest, split

    request = request_of_plan(plan.data, plan.evaluation.slices, plan.train.global_batch_size)
    ingested, out = empty(scratch / "ingest"), empty(scratch / "split")
    expect(ingest(request, ingested, cache=scratch / "cache")[1])
    expect(split(request, ingested, out)[1])
    return out


def run_folder(compiled: Compilation, split: Path, folder: Path) -> Path:
    plan = compiled.plan
    shutil.rmtree(folder, ignore_errors=True)
    target = next(each for each in compiled.world.targets if each.name == plan.execution.backend)
    inputs = LowerInputs(base_model=Path(plan.model.facts.location), data=split)
    expect(lower(plan, target, inputs, folder)[1])
    return folder


def launch(folder: Path, stages: str) -> Finished:
    env = environment(PYTHON=sys.executable)
    return run(["bash", "launch.sh", "--stages", stages], cwd=folder, env=env)


def launch_plain(plan: Plan, split: Path, folder: Path) -> Finished:
    train = plan.train
    options = {
        "train": split / "train.jsonl",
        "base": plan.model.facts.location,
        "out": empty(folder),
        "max-seq-length": plan.model.max_seq_length,
        "batch-size": train.global_batch_size,
        "epochs": train.num_train_epochs,
        "learning-rate": train.learning_rate,
        "warmup-steps": train.warmup_steps,
        "seed": train.seed,
    }
    script = str(Path(__file__).with_name("plain_script.py"))
    return run([sys.executable, script, *(f"--{name}={value}" for name, value in options.items())])


def judge(compiled: Compilation, split: Path, scratch: Path) -> dict[tuple[str, str], Evidence]:
    """The trained models, encoded and scored by the same programs: (compared with, judged) -> evidence."""
    ours = scratch / "ftspec-0"
    launch(ours, "encode_base,encode_tuned")
    plain = run_folder(compiled, split, scratch / "plain-encoded")
    shutil.copytree(scratch / "plain-0" / "model", plain / "out" / "train" / "model")
    launch(plain, "encode_tuned")
    encoded = {
        "base": ours / "out" / "encode_base",
        "ftspec": ours / "out" / "encode_tuned",
        "plain": plain / "out" / "encode_tuned",
    }
    return {
        (before, after): evaluate(
            compiled.plan, split, encoded[before], encoded[after], empty(scratch / f"{after}-over-{before}")
        )
        for before, after in (("base", "ftspec"), ("plain", "ftspec"))
    }


def info(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "out/train/info.json").read_text(encoding="utf-8"))
    return document


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def expect(found: Diagnostics) -> None:
    assert not found.has_errors, "; ".join(str(item) for item in found)


def seconds_text(values: list[float]) -> str:
    return " and ".join(f"{value:.1f} s" for value in values)


if __name__ == "__main__":
    sys.exit(main())
