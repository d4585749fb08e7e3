"""`ftspec state`: make the ledger again from what is on disk, compare the two, copy it."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics, FtspecError, Severity
from ftspec.store.artifacts import Artifacts
from ftspec.store.collected import is_collected
from ftspec.store.history import history, restore, verify_environments
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.promotion import Pointers, action_noun, promotion_row
from ftspec.store.records import insert_query_scores, insert_rows, insert_steps
from ftspec.store.registry import list_models, model_row, verify_models
from ftspec.store.run_record import (
    RunRecord,
    all_records,
    artifact_row,
    evidence_files,
    plan_document,
    record_rows,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Everything that run records and artefacts say. Tables that are a source of data never stand here.
REBUILT = (
    "specs",
    "plans",
    "runs",
    "stages",
    "steps",
    "query_scores",
    "artifacts",
    "estimates",
    "models",
    "promotions",
)
_EVIDENCE = ("steps", "query_scores")
_PER_RUN = ("stages", "steps", "query_scores", "estimates")
_HELP = "`ftspec state rebuild` makes the ledger again from the run records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    runs: int
    artifacts: int
    models: int
    query_scores: int
    promotions: int
    pointers: Pointers  # written to the environments' file, which was gone
    set_aside: Path | None  # where an unreadable ledger was moved to


def rebuild(project: Project) -> tuple[Rebuilt, Diagnostics]:
    """Empty the rebuilt tables and fill them from disk, in one transaction. Call it under the lock.

    A ledger that cannot be opened is moved aside first. The diagnostics name records that cannot be
    read (errors) and runs whose evidence is gone from the artefacts (warnings).
    """
    found = Diagnostics()
    set_aside = _set_aside_damaged(project)
    records, faults = all_records(project)
    found.extend(faults)
    run_ids = [record.run_id for record in records]
    artifacts = tuple(Artifacts(project).all())
    models = list_models(project)
    promotions, pointers, faults = restore(project)
    found.extend(faults)
    with Ledger(project).write() as db:
        for table in REBUILT:
            if table not in _EVIDENCE:
                db.execute(f"DELETE FROM {table}")  # noqa: S608
        for table in _EVIDENCE:  # rows whose artefact is gone would be lost for good
            db.execute(f"DELETE FROM {table} WHERE run_id NOT IN (SELECT unnest(?))", [run_ids])  # noqa: S608
        for record in records:
            insert_rows(db, record_rows(project, record))
            found.extend(_insert_evidence(db, project, record))
        insert_rows(db, [artifact_row(project, artifact) for artifact in artifacts])
        insert_rows(db, [model_row(project, model) for model in models])
        insert_rows(db, [promotion_row(each) for each in promotions])
        scores = _count(db, "query_scores")
    return (
        Rebuilt(
            runs=len(records),
            artifacts=len(artifacts),
            models=len(models),
            query_scores=scores,
            promotions=len(promotions),
            pointers=pointers,
            set_aside=set_aside,
        ),
        found,
    )


def verify(project: Project) -> Diagnostics:
    """Compare ledger, run records, artefacts and registered models; one finding per difference."""
    records, found = all_records(project)
    found.extend(Artifacts(project).verify_all())
    found.extend(verify_models(project))
    found.extend(verify_environments(project))
    if not Ledger(project).exists:
        if records:
            found.add(codes.LEDGER_UNREADABLE, f"there is none, but {len(records)} run records", help=_HELP)
        return found
    try:
        with Ledger(project).read() as db:
            found.extend(_compare(db, project, records))
    except FtspecError as error:
        found.extend(error.diagnostics)
    return found


def backup(project: Project, path: Path) -> None:
    """A consistent copy of the ledger as one file; FTS611 when there is none."""
    Ledger(project).copy_to(path)


def _compare(db: "DuckDBPyConnection", project: Project, records: tuple[RunRecord, ...]) -> Diagnostics:
    found = Diagnostics()
    rows = db.execute("SELECT run_id, spec_hash, plan_digest, verdict, metrics FROM runs").fetchall()
    in_ledger = {row[0]: (row[1], row[2], row[3], json.loads(row[4])) for row in rows}
    on_disk = {record.run_id: record for record in records}
    for run_id in sorted(in_ledger.keys() - on_disk.keys()):
        found.add(codes.LEDGER_DIFFERS, f"run {run_id} is in the ledger, but has no run record", help=_HELP)
    counts = {table: _counts(db, table) for table in _PER_RUN}
    for run_id, record in sorted(on_disk.items()):
        if run_id not in in_ledger:
            found.add(codes.LEDGER_DIFFERS, f"run {run_id} is not in the ledger", help=_HELP)
            continue
        plan = plan_document(project, record)
        if plan is None or plan.get("digest") != record.plan_digest:
            found.add(codes.ARTIFACT_DAMAGED, f"run {run_id}: {record.plan_path} is not the plan that ran")
        expected = (record.spec_hash, record.plan_digest, record.verdict, record.metrics)
        if in_ledger[run_id] != expected:
            found.add(
                codes.LEDGER_DIFFERS,
                f"run {run_id}: the ledger and the record say different things",
                help=_HELP,
            )
        for table, wanted in _expected_counts(project, record).items():
            present = counts[table][run_id]
            if wanted is None and is_collected(project.runs / run_id):
                continue  # the evidence in the ledger is what was kept
            if wanted is None:
                found.add(
                    codes.ARTIFACT_DAMAGED,
                    f"run {run_id}: the artefact behind its {table} is gone; {present} rows rest on the ledger alone",
                )
            elif present != wanted:
                found.add(
                    codes.LEDGER_DIFFERS,
                    f"run {run_id}: {table} has {present} rows instead of {wanted}",
                    help=_HELP,
                )
    known = {(model.name, model.version) for model in list_models(project)}
    listed = set(db.execute("SELECT name, version FROM models").fetchall())
    for name, version in sorted(known ^ listed):
        place = "not in the ledger" if (name, version) in known else "in the ledger, but not on disk"
        found.add(codes.LEDGER_DIFFERS, f"model {name} {version} is {place}", help=_HELP)
    promotions = {each.id: each for each in history(project)[0]}
    entered = {row[0] for row in db.execute("SELECT promotion_id FROM promotions").fetchall()}
    for id in sorted(promotions.keys() - entered):
        each = promotions[id]
        detail = f"the {action_noun(each)} of {each.model} in {each.environment} is not in the ledger"
        found.add(codes.LEDGER_DIFFERS, detail, help=_HELP)
    for id in sorted(entered - promotions.keys()):
        found.add(codes.LEDGER_DIFFERS, f"promotion {id} is in the ledger, but has no record", help=_HELP)
    return found


def _expected_counts(project: Project, record: RunRecord) -> dict[str, int | None]:
    scores, curve = evidence_files(project, record)
    expected: dict[str, int | None] = {"stages": len(record.stages), "estimates": 1}
    if record.stage_key("evaluate") is not None:
        expected["query_scores"] = _lines(scores)
    if record.stage_key("train") is not None:
        expected["steps"] = _steps(curve)
    return expected


def _insert_evidence(db: "DuckDBPyConnection", project: Project, record: RunRecord) -> Diagnostics:
    found = Diagnostics()
    scores, curve = evidence_files(project, record)
    if scores is not None:
        insert_query_scores(db, record.run_id, record.spec_hash, scores)
    if curve is not None:
        insert_steps(db, record.run_id, record.spec_hash, curve)
    for stage, path, what in (("evaluate", scores, "per-query scores"), ("train", curve, "training curve")):
        gone = path is None and not is_collected(project.runs / record.run_id)
        if gone and record.stage_key(stage) is not None:
            found.add(
                codes.ARTIFACT_DAMAGED,
                f"run {record.run_id}: the artefact of `{stage}` is gone; what the ledger holds of its {what} is kept",
                severity=Severity.WARNING,
            )
    return found


def _set_aside_damaged(project: Project) -> Path | None:
    """Move a ledger that is no DuckDB file out of the way. One that is merely taken, or newer, raises."""
    ledger = Ledger(project)
    if not ledger.exists:
        return None
    try:
        with ledger.read():
            return None
    except FtspecError as error:
        if "not a valid DuckDB" not in str(error):
            raise
    number = 1
    while (target := project.state / f"ftspec.duckdb.damaged-{number}").exists():
        number += 1
    ledger.path.rename(target)
    return target


def _count(db: "DuckDBPyConnection", table: str) -> int:
    row = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])


def _counts(db: "DuckDBPyConnection", table: str) -> Counter[str]:
    return Counter(dict(db.execute(f"SELECT run_id, count(*) FROM {table} GROUP BY ALL").fetchall()))  # noqa: S608


def _lines(path: Path | None) -> int | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _steps(path: Path | None) -> int | None:
    if path is None:
        return None
    with path.open(encoding="utf-8") as file:
        steps = {json.loads(line).get("step") for line in file if line.strip()}
    return len(steps - {None})
