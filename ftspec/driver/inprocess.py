"""The stages that run in this process: data before the programs, evidence after them, by kind of plan."""

from collections.abc import Callable
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.requests import embedding_request_of, llm_request_of
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.plan.stages import program_stages
from ftspec.store.project import Project

Output = Callable[[str], Path]  # stage -> folder of its artefact
Progress = Callable[[int, int, str], None]  # done, total, unit


def make_data(
    plan: Plan, stage: str, output: Output, out: Path, *, project: Project, on_progress: Progress
) -> Diagnostics:
    """Fill `out` with the output of a data stage."""
    if isinstance(plan, LlmPlan):
        return _make_text_data(plan, stage, output, out, project, on_progress)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    from ftspec.data.stages import ingest, split

    request = embedding_request_of(plan, project)
    if stage == "ingest":
        return ingest(
            request,
            out,
            cache=project.cache,
            expected_digest=plan.data.facts.digest,
            on_progress=on_progress,
        )[1]
    assert stage == "split", stage
    return split(request, output("ingest"), out)[1]


def _make_text_data(
    plan: LlmPlan, stage: str, output: Output, out: Path, project: Project, on_progress: Progress
) -> Diagnostics:
    from ftspec.data.llm_stages import ingest_llm, split_llm, tokenize_llm

    request = llm_request_of(plan, project)
    if stage == "ingest":
        return ingest_llm(
            request,
            out,
            cache=project.cache,
            expected_digest=plan.data.facts.digest,
            on_progress=on_progress,
        )[1]
    if stage == "split":
        return split_llm(request, output("ingest"), out)[1]
    assert stage == "tokenize", stage
    return tokenize_llm(request, output("split"), out, on_progress=on_progress)[1]


def check_evidence(plan: Plan, output: Output) -> Diagnostics:
    """FTS804 for what could not be measured however good the model becomes: before it is trained."""
    if not isinstance(plan, LlmPlan):
        return Diagnostics()
    from ftspec.evaluate.lines import read_lines
    from ftspec.evaluate.text import check_measurable

    scored = [row["id"] for row in read_lines(output("tokenize") / "test.jsonl")]
    return check_measurable(plan, output("split"), scored)


def make_evidence(plan: Plan, output: Output, out: Path) -> None:
    """Score the held-out side of both models into `out`."""
    from ftspec.evaluate.evaluate import evaluate

    base, _, tuned = program_stages(plan)
    evaluate(plan, output("split"), output(base), output(tuned), out)
