"""Rates that earlier runs measured here, so that the next prediction is better than a guess."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ftspec.estimate.time import START_SECONDS, Calibration, encode_flops, train_flops
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project

if TYPE_CHECKING:
    from ftspec.store.run_record import RunRecord

_PROGRAMS = ("score_base", "train", "score_tuned")
_Report = Mapping[str, Any]  # the info.json of a stage


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
        rates = _rates(plan, seconds, _reports(project, record))
        if rates is not None:
            found[key] = rates
    return found


def _rates(
    plan: EmbeddingPlan | LlmPlan, seconds: Mapping[str, float], reports: Mapping[str, _Report]
) -> Calibration | None:
    if isinstance(plan, LlmPlan):
        return llm_rates(plan, seconds, reports)
    encode = seconds.get("encode_tuned")
    return Calibration(
        train_flops_per_second=train_flops(plan) / seconds["train"],
        encode_flops_per_second=encode_flops(plan) / encode if encode else None,
    )


def llm_rates(
    plan: LlmPlan, seconds: Mapping[str, float], reports: Mapping[str, _Report]
) -> Calibration | None:
    """Rates of work, and the seconds beside it: a start read as work would make every longer run look endless.

    `seconds`: of whole stages; `reports`: their info.json, as far as they are still there. None: nothing tells
    the training from its start.
    """
    from ftspec.estimate import decoder_time

    working = _number(reports.get("train", {}), "seconds") or seconds["train"] - START_SECONDS
    if working <= 0:
        return None
    if plan.execution.device != "cpu":  # the rate is that of one device
        working *= plan.execution.num_processes or 1
    flops, tokens = decoder_time.score_flops(plan), plan.data.facts.test_tokens
    scored = reports.get("score_tuned", {})
    speed, scoring = _number(scored, "tokens_per_second"), _number(scored, "seconds")
    answering = None
    passes = decoder_time.generation_tokens(plan)
    if speed and scoring and passes:
        answering = max(scoring - tokens / speed - decoder_time.load_seconds(plan), 0.0)
    beside = [
        seconds[stage] - (_number(reports.get(stage, {}), "seconds") or seconds[stage])
        for stage in _PROGRAMS
        if stage in seconds
    ]
    whole = len(beside) == len(_PROGRAMS) and all(stage in reports for stage in _PROGRAMS)
    return Calibration(
        train_flops_per_second=decoder_time.train_flops(plan) / working,
        encode_flops_per_second=flops * speed / tokens if speed and tokens else None,
        generation_seconds=answering / passes if answering is not None else None,
        start_seconds=max(sum(beside), 0.0) if whole else None,
    )


def _reports(project: Project, record: "RunRecord") -> dict[str, _Report]:
    """What the programs said of each stage at its end. Outputs that are gone say nothing."""
    found: dict[str, _Report] = {}
    store = Artifacts(project)
    for stage in _PROGRAMS:
        key = record.stage_key(stage)
        if key is None:
            continue
        with suppress(OSError, ValueError):
            report = json.loads((store.path(stage, key) / "info.json").read_text(encoding="utf-8"))
            if isinstance(report, dict):
                found[stage] = report
    return found


def _number(report: _Report, name: str) -> float | None:
    value = report.get(name)
    return float(value) if isinstance(value, int | float) and value > 0 else None


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
