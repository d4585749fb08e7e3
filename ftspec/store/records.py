"""Rows of the ledger, and the functions that put them there.

All run within a caller's transaction and are idempotent by primary key: what is recorded again replaces
itself, so nothing stands there twice.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.store.ledger import Ledger

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_JSON = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRow:
    spec_hash: str
    name: str
    kind: str
    document: _JSON
    first_run: str  # ISO 8601; the earliest of all runs is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    plan_digest: str
    spec_hash: str
    name: str
    backend: str | None = None
    semantic_fingerprint: str | None = None
    realisation_fingerprint: str | None = None
    machine_digest: str | None = None
    document: _JSON | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    run_id: str
    spec_hash: str
    plan_digest: str
    name: str
    verdict: str
    started: str
    ended: str
    wall_seconds: float
    metrics: _JSON
    model_name: str | None
    model_version: str | None
    model_digest: str | None
    machine: _JSON
    versions: _JSON
    tainted: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    run_id: str
    stage: str
    spec_hash: str
    stage_key: str
    action: str
    reason: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    stage: str
    stage_key: str
    path: str
    files: int
    size_bytes: int
    algorithm: int
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRow:
    run_id: str
    spec_hash: str
    plan_digest: str
    machine_digest: str | None = None
    model_digest: str | None = None
    device: str | None = None
    precision: str | None = None
    train_steps: int | None = None
    predicted_peak_memory_bytes: int | None = None
    measured_peak_memory_bytes: int | None = None
    predicted_wall_seconds: float | None = None
    measured_wall_seconds: float | None = None
    predicted_stage_seconds: _JSON = field(default_factory=dict)
    measured_stage_seconds: _JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    name: str
    version: str
    digest: str
    run_id: str | None
    spec_hash: str | None
    plan_digest: str | None
    path: str
    registered: str
    meta: _JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRow:
    promotion_id: str
    environment: str
    name: str
    number: int
    action: str
    version: str
    model_digest: str
    space_id: str | None
    run_id: str | None
    from_version: str | None
    from_digest: str | None
    basis: str
    verdict: str
    metric: str | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    comparison_key: str | None
    flags: list[str]
    note: str
    promoted_by: str
    promoted: str
    previous_id: str | None


Row = SpecRow | PlanRow | RunRow | StageRow | ArtifactRow | EstimateRow | ModelRow | PromotionRow
TABLES: dict[type[Row], str] = {
    SpecRow: "specs",
    PlanRow: "plans",
    RunRow: "runs",
    StageRow: "stages",
    ArtifactRow: "artifacts",
    EstimateRow: "estimates",
    ModelRow: "models",
    PromotionRow: "promotions",
}


def insert_rows(db: "DuckDBPyConnection", rows: Iterable[Row]) -> None:
    """Upsert rows of any of the small tables."""
    for row in rows:
        table = TABLES[type(row)]
        names = [item.name for item in fields(row)]
        values = [_plain(getattr(row, name)) for name in names]
        marks = ", ".join("?" for _ in names)
        update = ""
        if isinstance(row, SpecRow):
            update = " ON CONFLICT DO UPDATE SET first_run = least(first_run, excluded.first_run)"
        verb = "INSERT" if update else "INSERT OR REPLACE"
        db.execute(f"{verb} INTO {table} ({', '.join(names)}) VALUES ({marks}){update}", values)


def insert_steps(db: "DuckDBPyConnection", run_id: str, spec_hash: str, curve: Path) -> None:
    """Replace the training curve of a run by the file `curve.jsonl`. A step that stands there more than
    once (a resume, or an evaluation after a log) becomes one row of its last values."""
    db.execute("DELETE FROM steps WHERE run_id = ?", [run_id])
    if curve.stat().st_size == 0:
        return
    last = ", ".join(
        f"last({name} ORDER BY n) FILTER (WHERE {name} IS NOT NULL) AS {name}"
        for name in ("epoch", "loss", "learning_rate", "grad_norm", "eval")
    )
    db.execute(
        "INSERT INTO steps (run_id, spec_hash, step, epoch, loss, learning_rate, grad_norm, eval) "  # noqa: S608
        f"SELECT ?, ?, step, {last} FROM (SELECT *, row_number() OVER () AS n FROM "
        "read_json(?, format = 'newline_delimited', columns = {step: 'BIGINT', epoch: 'DOUBLE', "
        "loss: 'DOUBLE', learning_rate: 'DOUBLE', grad_norm: 'DOUBLE', eval: 'JSON'})) "
        "WHERE step IS NOT NULL GROUP BY step",
        [run_id, spec_hash, str(curve)],
    )


def insert_query_scores(db: "DuckDBPyConnection", run_id: str, spec_hash: str, scores: Path) -> None:
    """Replace the evidence of a run by the file `scores.jsonl`, read by DuckDB itself."""
    db.execute("DELETE FROM query_scores WHERE run_id = ?", [run_id])
    if scores.stat().st_size == 0:
        return
    db.execute(
        "INSERT INTO query_scores (run_id, spec_hash, variant, dimension, query_id, metric, value, slices) "
        "SELECT ?, ?, variant, dimension, query_id, metric, value, slices FROM read_json(?, "
        "format = 'newline_delimited', columns = {variant: 'VARCHAR', dimension: 'INTEGER', "
        "query_id: 'VARCHAR', metric: 'VARCHAR', value: 'DOUBLE', slices: 'JSON'})",
        [run_id, spec_hash, str(scores)],
    )


def forget_model(ledger: Ledger, name: str, version: str) -> None:
    """Remove the row of a model that was deleted."""
    with ledger.write() as db:
        db.execute("DELETE FROM models WHERE name = ? AND version = ?", [name, version])


def forget_artifacts(ledger: Ledger, root: Path) -> None:
    """Remove the rows of artefacts whose folders are gone; `root` is that of the project."""
    with ledger.write() as db:
        rows = db.execute("SELECT DISTINCT path FROM artifacts").fetchall()
        gone = [path for (path,) in rows if not (root / path).is_dir()]
        db.execute("DELETE FROM artifacts WHERE path IN (SELECT unnest(?))", [gone])


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict | list) else value
