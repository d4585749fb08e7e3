"""The run record: one immutable JSON file per finished run, from which the ledger can be made again."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.codec import hash_of
from ftspec.plan.model import Extension
from ftspec.store.artifacts import Artifact, Artifacts
from ftspec.store.files import write_atomically
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.records import (
    ArtifactRow,
    EstimateRow,
    PlanRow,
    Row,
    RunRow,
    SpecRow,
    StageRow,
    insert_query_scores,
    insert_rows,
    insert_steps,
)
from ftspec.store.registry import find_model_version, model_row

RECORD_FILE = "record.json"
FORMAT_VERSION = "1.0"
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of a run; `key` finds its artefact."""

    name: str
    key: str
    action: str  # run | reuse
    reason: str
    seconds: float | None = None  # None: reused


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRecord:
    """Predicted against measured. None: not predicted, or not measured in this run."""

    device: str | None = None
    precision: str | None = None
    train_steps: int | None = None
    predicted_peak_memory_bytes: int | None = None
    measured_peak_memory_bytes: int | None = None
    predicted_wall_seconds: float | None = None
    measured_wall_seconds: float | None = None
    predicted_stage_seconds: dict[str, float] = field(default_factory=dict)
    measured_stage_seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    name: str
    version: str
    digest: str
    path: str  # relative to the project


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Times are ISO 8601 in UTC. `plan_path` is relative to the project."""

    run_id: str
    name: str
    kind: str
    spec: _Json  # canonical form, defaults filled in
    spec_hash: str
    spec_path: str
    plan_digest: str
    plan_path: str
    semantic_fingerprint: str
    realisation_fingerprint: str
    backend: str
    started: str
    ended: str
    verdict: str  # passed | failed | inconclusive
    metrics: dict[str, dict[str, float]]  # {"base": {metric: mean}, "tuned": {…}}
    stages: tuple[StageRecord, ...]
    estimate: EstimateRecord
    base_model_digest: str
    machine: _Json  # name, digest, summary
    versions: dict[str, str]
    model: ModelRecord | None = None  # None: not registered
    tainted: tuple[str, ...] = ()  # inputs that changed while it ran, in words; such a run is not promoted
    extended_from: Extension | None = None  # the training that its own went on from
    format_version: str = FORMAT_VERSION

    @property
    def wall_seconds(self) -> float:
        """Of the stages that this run worked on, in all of its attempts, without the pauses between."""
        return sum(stage.seconds for stage in self.stages if stage.seconds is not None)

    def stage_key(self, name: str) -> str | None:
        return next((stage.key for stage in self.stages if stage.name == name), None)


def finish_run(project: Project, record: RunRecord) -> RunRecord:
    """Bring the record into the ledger, then write it. The file comes last: while it is missing, the run
    counts as unfinished, and the next apply comes back here, so that a kill or a ledger that is taken
    leaves no finished run outside the ledger. A record that is there already stays as it is. Returns
    the one that stands."""
    present, _ = read_record(project.runs / record.run_id)
    ingest_record(project, present or record)
    if present is None:
        write_record(project, record)
    return present or record


def write_record(project: Project, record: RunRecord) -> Path:
    """Write `runs/<run_id>/record.json` once, read-only, under its own digest."""
    path = project.runs / record.run_id / RECORD_FILE
    document = asdict(record)
    document["digest"] = hash_of(document)
    write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n", mode=0o444)
    return path


def read_record(run_folder: Path) -> tuple[RunRecord | None, Diagnostics]:
    """The record of a finished run. (None, nothing) where there is none; FTS612 when it was changed."""
    found = Diagnostics()
    path = run_folder / RECORD_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, found
    except (OSError, ValueError) as error:
        found.add(codes.ARTIFACT_DAMAGED, f"{_label(path)}: {error}")
        return None, found
    digest = document.pop("digest", None) if isinstance(document, dict) else None
    if digest is None or digest != hash_of(document):
        found.add(codes.ARTIFACT_DAMAGED, f"{_label(path)} was changed after it was written")
        return None, found
    try:
        return _adapter().validate_python(document), found
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        found.add(codes.ARTIFACT_DAMAGED, f"{_label(path)}: {place}: {error.errors()[0]['msg']}")
        return None, found


def all_records(project: Project) -> tuple[tuple[RunRecord, ...], Diagnostics]:
    """Every readable record, oldest first, and a diagnostic for each that is not."""
    records: list[RunRecord] = []
    found = Diagnostics()
    for path in sorted(project.runs.glob(f"*/{RECORD_FILE}")):
        record, faults = read_record(path.parent)
        found.extend(faults)
        if record is not None:
            records.append(record)
    return tuple(sorted(records, key=lambda record: (record.started, record.run_id))), found


def ingest_record(project: Project, record: RunRecord) -> None:
    """Everything the ledger says about one run, in one transaction. Replaces what was there."""
    artifacts = [artifact for _, artifact in _stage_artifacts(project, record)]
    scores, curve = evidence_files(project, record)
    model = None
    if record.model is not None:
        model, _ = find_model_version(project, record.model.name, record.model.version)
    with Ledger(project).write() as db:
        insert_rows(db, record_rows(project, record))
        insert_rows(db, [artifact_row(project, artifact) for artifact in artifacts])
        if model is not None:
            insert_rows(db, [model_row(project, model)])
        if curve is not None:
            insert_steps(db, record.run_id, record.spec_hash, curve)
        if scores is not None:
            insert_query_scores(db, record.run_id, record.spec_hash, scores)


def record_rows(project: Project, record: RunRecord) -> Iterator[Row]:
    """The rows that follow from the record and its plan file alone."""
    ids: _Json = {"run_id": record.run_id, "spec_hash": record.spec_hash}
    machine_digest = record.machine.get("digest")
    yield SpecRow(
        spec_hash=record.spec_hash,
        name=record.name,
        kind=record.kind,
        document=record.spec,
        first_run=record.started,
    )
    yield PlanRow(
        plan_digest=record.plan_digest,
        spec_hash=record.spec_hash,
        name=record.name,
        backend=record.backend,
        semantic_fingerprint=record.semantic_fingerprint,
        realisation_fingerprint=record.realisation_fingerprint,
        machine_digest=machine_digest,
        document=plan_document(project, record),
    )
    model = record.model
    yield RunRow(
        **ids,
        plan_digest=record.plan_digest,
        name=record.name,
        verdict=record.verdict,
        started=record.started,
        ended=record.ended,
        wall_seconds=record.wall_seconds,
        metrics=record.metrics,
        model_name=model.name if model else None,
        model_version=model.version if model else None,
        model_digest=model.digest if model else None,
        machine=record.machine,
        versions=record.versions,
        tainted=list(record.tainted),
    )
    for stage in record.stages:
        yield StageRow(
            **ids,
            stage=stage.name,
            stage_key=stage.key,
            action=stage.action,
            reason=stage.reason,
            seconds=stage.seconds,
        )
    yield EstimateRow(
        **ids,
        plan_digest=record.plan_digest,
        machine_digest=machine_digest,
        model_digest=record.base_model_digest,
        **asdict(record.estimate),
    )


def artifact_row(project: Project, artifact: Artifact) -> ArtifactRow:
    return ArtifactRow(
        stage=artifact.stage,
        stage_key=artifact.key,
        path=project.relative(artifact.path),
        files=len(artifact.files),
        size_bytes=artifact.size_bytes,
        algorithm=artifact.algorithm,
        created=artifact.created,
    )


def evidence_files(project: Project, record: RunRecord) -> tuple[Path | None, Path | None]:
    """(scores.jsonl, curve.jsonl) in the artefacts of a run; None where the artefact is not whole."""
    folders = {name: artifact.path for name, artifact in _stage_artifacts(project, record)}
    scores = folders["evaluate"] / "scores.jsonl" if "evaluate" in folders else None
    curve = folders["train"] / "curve.jsonl" if "train" in folders else None
    return (
        scores if scores is not None and scores.is_file() else None,
        curve if curve is not None and curve.is_file() else None,
    )


def _stage_artifacts(project: Project, record: RunRecord) -> Iterator[tuple[str, Artifact]]:
    store = Artifacts(project)
    for stage in record.stages:
        artifact = store.find(stage.name, stage.key)
        if artifact is not None:
            yield stage.name, artifact


def plan_document(project: Project, record: RunRecord) -> _Json | None:
    """The plan file of a run; None when it is gone or no longer JSON, which `rebuild.verify` reports."""
    try:
        document = json.loads((project.root / record.plan_path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _label(path: Path) -> str:
    return f"runs/{path.parent.name}/{path.name}"


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)
