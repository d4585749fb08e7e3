"""The stages that run in this process: data before the programs, evidence after them, by kind of plan."""

from collections.abc import Callable
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.facts import request_of_plan
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Plan

Output = Callable[[str], Path]  # stage -> folder of its artefact
Progress = Callable[[int, int, str], None]  # done, total, unit


def make_data(
    plan: Plan, stage: str, output: Output, out: Path, *, cache: Path, on_progress: Progress
) -> Diagnostics:
    """Fill `out` with the output of a data stage."""
    assert isinstance(plan, EmbeddingPlan), plan.kind
    from ftspec.data.stages import ingest, split

    request = request_of_plan(plan.data, plan.evaluation.slices, plan.train.global_batch_size)
    if stage == "ingest":
        return ingest(
            request,
            out,
            cache=cache,
            expected_digest=plan.data.facts.digest,
            on_progress=on_progress,
        )[1]
    assert stage == "split", stage
    return split(request, output("ingest"), out)[1]


def make_evidence(plan: Plan, output: Output, out: Path) -> None:
    """Score the held-out side of both models into `out`."""
    assert isinstance(plan, EmbeddingPlan), plan.kind
    from ftspec.evaluate.evaluate import evaluate

    evaluate(plan, output("split"), output("encode_base"), output("encode_tuned"), out)
