"""What an apply came to, read back from the store, so that a run and a repeat tell the same story."""

from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.evaluate.evidence import Summary, read_summary
from ftspec.evaluate.gates import Verdict, read_verdict
from ftspec.plan.model import Extension, Plan
from ftspec.store.artifacts import Artifacts
from ftspec.store.extension import read_extension
from ftspec.store.project import Project
from ftspec.store.run_record import RunRecord, all_records

UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """`verdict` is what this apply came to; `standing` is what the gates said, also when nothing ran."""

    run_id: str
    spec_hash: str
    plan_digest: str
    verdict: str  # passed | failed | inconclusive | unchanged
    standing: str  # passed | failed | inconclusive
    summary: Summary
    gates: Verdict
    model_path: Path
    model_name: str | None  # None: not registered
    model_version: str | None
    seconds: float  # of the run that made it
    predicted_seconds: float | None
    peak_memory_bytes: int | None
    predicted_peak_memory_bytes: int | None
    resumed_from_step: int | None = None
    tainted: tuple[str, ...] = ()  # inputs that changed while it ran, in words
    extended_from: Extension | None = None  # the training that its own went on from
    current_before: str | None = None  # version that was current, where this apply made another one so

    def as_new(self, *, resumed_from_step: int | None) -> "ApplyResult":
        return replace(self, verdict=self.standing, resumed_from_step=resumed_from_step)


def read_result(project: Project, plan: Plan, plan_digest: str) -> ApplyResult | None:
    """The result that the store holds for a plan all of whose stages are stored; None when no run
    record tells of it (its folder was deleted)."""
    keys = {stage.name: stage.key for stage in plan.stages}
    records, _ = all_records(project)
    matching = [record for record in records if _is_of(record, keys)]
    # The run that registered the model, if any did; else the one that came last.
    record = next((each for each in reversed(matching) if each.model), matching[-1] if matching else None)
    if record is None:
        return None
    artifacts = Artifacts(project)
    gates = read_verdict(artifacts.path("gate", keys["gate"]))
    model_path = project.root / record.model.path if record.model else project.runs / record.run_id / "model"
    return ApplyResult(
        run_id=record.run_id,
        spec_hash=plan.spec_hash,
        plan_digest=plan_digest,
        verdict=UNCHANGED,
        standing=gates.verdict.value,
        summary=read_summary(artifacts.path("evaluate", keys["evaluate"])),
        gates=gates,
        model_path=model_path,
        model_name=record.model.name if record.model else None,
        model_version=record.model.version if record.model else None,
        seconds=record.wall_seconds,
        predicted_seconds=record.estimate.predicted_wall_seconds,
        peak_memory_bytes=record.estimate.measured_peak_memory_bytes,
        predicted_peak_memory_bytes=record.estimate.predicted_peak_memory_bytes,
        tainted=record.tainted,
        extended_from=read_extension(artifacts.path("train", keys["train"])),
    )


def _is_of(record: RunRecord, keys: dict[str, str]) -> bool:
    return record.stage_key("gate") == keys["gate"] and record.stage_key("register") == keys["register"]
