import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.rebuild import REBUILT, backup, rebuild, verify
from ftspec.store.registry import register_model
from ftspec.store.run_record import ModelRecord, RunRecord, all_records, finish_run, read_record, write_record
from tests.store.conftest import make_record, publish_evidence, write_plan


def dump(project: Project) -> dict[str, tuple[object, ...]]:
    return {
        table: Ledger(project).query_readonly(f"SELECT * FROM {table} ORDER BY ALL").rows for table in REBUILT
    }


def finished(project: Project) -> RunRecord:
    publish_evidence(project)
    folder = project.root / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    model = register_model(project, "demo", folder, {"run_id": "demo-aaaaaaaa"})
    record = make_record(
        model=ModelRecord(
            name="demo", version=model.version, digest=model.digest, path=project.relative(model.path)
        )
    )
    write_plan(project, record)
    return finish_run(project, record)


def test_record_round_trip(project: Project) -> None:
    record = make_record()
    path = write_record(project, record)
    assert read_record(path.parent) == (record, read_record(path.parent)[1])
    assert path.stat().st_mode & 0o222 == 0


def test_an_edited_record_is_reported(project: Project) -> None:
    path = write_record(project, make_record())
    text = path.read_text().replace('"passed"', '"failed"')
    path.unlink()
    path.write_text(text)
    record, found = read_record(path.parent)
    assert record is None
    assert "was changed" in next(iter(found)).detail
    assert len(all_records(project)[1]) == 1


def test_a_finished_run_is_never_overwritten(project: Project) -> None:
    first = finished(project)
    assert finish_run(project, replace(first, verdict="failed")) == first
    assert Ledger(project).query_readonly("SELECT verdict FROM runs").rows == (("passed",),)


def test_a_run_that_misses_the_ledger_is_not_finished(project: Project) -> None:
    """So the next apply comes back to it."""
    project.ledger.mkdir()  # nothing can be written there
    with pytest.raises(FtspecError):
        finished(project)
    assert all_records(project)[0] == ()
    project.ledger.rmdir()
    first = finished(project)
    assert all_records(project)[0] == (first,)
    assert len(Ledger(project).query_readonly("FROM runs").rows) == 1


def test_what_a_run_leaves_in_the_ledger(project: Project) -> None:
    finished(project)
    tables = {table: len(rows) for table, rows in dump(project).items()}
    assert tables == {
        "specs": 1,
        "plans": 1,
        "runs": 1,
        "stages": 2,
        "steps": 2,
        "query_scores": 8,
        "artifacts": 2,
        "estimates": 1,
        "models": 1,
        "promotions": 0,
    }
    with Ledger(project).read() as db:
        measured = db.execute("SELECT machine_digest, measured_peak_memory_bytes FROM estimates").fetchall()
    assert measured == [("sha256:4", 90)]


def test_rebuild_restores_every_row(project: Project) -> None:
    finished(project)
    before = dump(project)
    assert not verify(project).items
    with Ledger(project).write() as db:
        for table in REBUILT:
            db.execute(f"DELETE FROM {table}")
    differences = [item.detail for item in verify(project)]
    assert "run demo-aaaaaaaa is not in the ledger" in differences
    result, found = rebuild(project)
    assert (result.runs, result.query_scores, result.models) == (1, 8, 1)
    assert not found.items
    assert dump(project) == before
    rebuild(project)
    assert dump(project) == before
    assert not verify(project).items


def test_rebuild_without_a_ledger(project: Project) -> None:
    finished(project)
    before = dump(project)
    project.ledger.unlink()
    assert "but 1 run records" in next(iter(verify(project))).detail
    rebuild(project)
    assert dump(project) == before


def test_rebuild_sets_a_damaged_ledger_aside(project: Project) -> None:
    finished(project)
    before = dump(project)
    project.ledger.write_bytes(b"x" * 9000)
    assert any("not a valid DuckDB" in item.detail for item in verify(project))
    result, _ = rebuild(project)
    assert result.set_aside is not None
    assert result.set_aside.stat().st_size == 9000
    assert dump(project) == before


def test_rebuild_drops_rows_without_a_record(project: Project) -> None:
    finished(project)
    before = dump(project)
    with Ledger(project).write() as db:
        db.execute("INSERT INTO query_scores SELECT 'ghost', * EXCLUDE run_id FROM query_scores")
        db.execute("INSERT INTO runs SELECT 'ghost', * EXCLUDE run_id FROM runs")
    assert "run ghost is in the ledger" in next(iter(verify(project))).detail
    rebuild(project)
    assert dump(project) == before


def test_rebuild_keeps_rows_whose_artefact_is_gone(project: Project) -> None:
    finished(project)
    before = dump(project)
    shutil.rmtree(project.artifacts)
    _, found = rebuild(project)
    assert [item.is_error for item in found] == [False, False]
    assert dump(project)["query_scores"] == before["query_scores"]
    assert any("rest on the ledger alone" in item.detail for item in verify(project))


def test_verify_sees_a_missing_score_and_a_changed_value(project: Project) -> None:
    finished(project)
    with Ledger(project).write() as db:
        db.execute("DELETE FROM query_scores WHERE query_id = 'q1'")
        db.execute("UPDATE runs SET verdict = 'failed'")
    details = [item.detail for item in verify(project)]
    assert any("query_scores has 6 rows instead of 8" in detail for detail in details)
    assert any("say different things" in detail for detail in details)


@pytest.mark.parametrize("text", ["", '{"digest": "sha256:other"}'])
def test_verify_sees_a_plan_that_was_changed(project: Project, text: str) -> None:
    write_path = project.root / finished(project).plan_path
    write_path.write_text(text)
    (finding,) = verify(project)
    assert "is not the plan that ran" in finding.detail


def test_backup_is_a_ledger_of_its_own(project: Project, tmp_path: Path) -> None:
    with pytest.raises(FtspecError, match="FTS611"):
        backup(project, tmp_path / "b" / "copy.duckdb")
    finished(project)
    backup(project, tmp_path / "b" / "copy.duckdb")
    import duckdb

    with duckdb.connect(str(tmp_path / "b" / "copy.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM query_scores").fetchone() == (8,)
