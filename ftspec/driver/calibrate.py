"""Rates that earlier runs measured here, so that the next prediction is better than a guess."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ftspec.estimate import decoder_time
from ftspec.estimate.time import Calibration, encode_flops, train_flops
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.store.project import Project

if TYPE_CHECKING:
    from ftspec.store.run_record import RunRecord


def calibrations(
    project: Project, *, machine_digest: str, model_digest: str
) -> dict[tuple[str, str], Calibration]:
    """(backend, precision) → rates of the newest run of this model on this machine whose training was measured.

    Only runs that trained without an interruption count: the seconds of a resumed stage tell nothing.
    """
    if not project.runs.is_dir():
        return {}
    found: dict[tuple[str, str], Calibration] = {}
    for record, plan in _matching(project, machine_digest, model_digest):
        seconds = record.estimate.measured_stage_seconds
        key = (plan.execution.backend or "", plan.execution.precision or "")
        if not all(key) or key in found or not seconds.get("train"):
            continue
        found[key] = _rates(plan, seconds)
    return found


def _rates(plan: EmbeddingPlan | LlmPlan, seconds: Mapping[str, float]) -> Calibration:
    """Scoring an LLM is partly generation, of which nobody knows the lengths beforehand: it has no rate."""
    if isinstance(plan, LlmPlan):
        return Calibration(train_flops_per_second=decoder_time.train_flops(plan) / seconds["train"])
    encode = seconds.get("encode_tuned")
    return Calibration(
        train_flops_per_second=train_flops(plan) / seconds["train"],
        encode_flops_per_second=encode_flops(plan) / encode if encode else None,
    )


def _matching(
    project: Project, machine_digest: str, model_digest: str
) -> Iterator[tuple["RunRecord", EmbeddingPlan | LlmPlan]]:
    """Newest first. A record or plan that cannot be read calibrates nothing; `state verify` reports it."""
    from ftspec.driver.planfile import read_plan_file
    from ftspec.store.run_record import all_records

    records, _ = all_records(project)
    for record in reversed(records):
        same = record.machine.get("digest") == machine_digest and record.base_model_digest == model_digest
        if not same or record.estimate.measured_wall_seconds is None:
            continue
        plan, _ = read_plan_file(project.root / record.plan_path)
        if isinstance(plan, EmbeddingPlan | LlmPlan):
            yield record, plan
