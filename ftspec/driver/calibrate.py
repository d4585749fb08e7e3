"""Rates that earlier runs measured here, so that the next prediction is better than a guess."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec.estimate.time import Calibration, encode_flops, train_flops
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.store.project import Project

if TYPE_CHECKING:
    from ftspec.store.run_record import RunRecord


def calibrations(project: Project, *, machine_digest: str, model_digest: str) -> dict[str, Calibration]:
    """precision → rates of the newest run of this model on this machine whose training was measured.

    Only runs that trained without an interruption count: the seconds of a resumed stage tell nothing.
    """
    if not project.runs.is_dir():
        return {}
    found: dict[str, Calibration] = {}
    for record, plan in _matching(project, machine_digest, model_digest):
        seconds = record.estimate.measured_stage_seconds
        precision = plan.execution.precision
        if precision is None or precision in found or not seconds.get("train"):
            continue
        encode = seconds.get("encode_tuned")
        found[precision] = Calibration(
            train_flops_per_second=train_flops(plan) / seconds["train"],
            encode_flops_per_second=encode_flops(plan) / encode if encode else None,
        )
    return found


def _matching(
    project: Project, machine_digest: str, model_digest: str
) -> Iterator[tuple["RunRecord", EmbeddingPlan]]:
    """Newest first. A record or plan that cannot be read calibrates nothing; `state verify` reports it."""
    from ftspec.driver.planfile import read_plan_file
    from ftspec.store.run_record import all_records

    records, _ = all_records(project)
    for record in reversed(records):
        same = record.machine.get("digest") == machine_digest and record.base_model_digest == model_digest
        if not same or record.estimate.measured_wall_seconds is None:
            continue
        plan, _ = read_plan_file(project.root / record.plan_path)
        if isinstance(plan, EmbeddingPlan):
            yield record, plan
