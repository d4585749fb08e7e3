"""The ledger after a run: what it answers, what it refuses, and that it can be made again."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.harness import ftspec, sql

pytestmark = pytest.mark.slow

TABLES = ("specs", "plans", "runs", "stages", "steps", "query_scores", "artifacts", "estimates", "models")


def content(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {table: sql(f"select * from {table} order by all", folder) for table in TABLES}


def test_scores_of_each_query(finished: Finished) -> None:
    found = sql(
        "select query_id, metric, max(value) filter (variant = 'base') as base, "
        "max(value) filter (variant = 'tuned') as tuned from query_scores "
        f"where run_id = '{finished.result['run_id']}' group by all",
        finished.folder,
    )
    assert len({row["query_id"] for row in found}) == 18
    assert all(0 <= row["base"] <= 1 and 0 <= row["tuned"] <= 1 for row in found)
    for metric in ("recall@1", "mrr@10"):
        for variant in ("base", "tuned"):
            values = [row[variant] for row in found if row["metric"] == metric]
            assert sum(values) / len(values) == pytest.approx(
                finished.result["metrics"][variant][metric], abs=1e-6
            )


def test_predicted_stands_beside_measured(finished: Finished) -> None:
    (row,) = sql("select * from estimates", finished.folder)
    assert row["predicted_peak_memory_bytes"] > 0
    assert row["measured_peak_memory_bytes"] > 0
    assert row["predicted_wall_seconds"] > 0
    assert row["measured_wall_seconds"] > 0


def test_a_lost_ledger_is_made_again(copied: Path) -> None:
    before = content(copied)
    assert all(before.values())
    for path in (copied / ".ftspec").glob("ftspec.duckdb*"):
        path.unlink()
    ftspec("state", "verify", cwd=copied, exits=1)
    ftspec("state", "rebuild", cwd=copied)
    assert content(copied) == before
    assert "agree" in ftspec("state", "verify", cwd=copied).stdout


def test_deleted_rows_are_missed_and_restored(copied: Path) -> None:
    import duckdb

    before = content(copied)
    with duckdb.connect(str(copied / ".ftspec/ftspec.duckdb")) as ledger:
        ledger.execute("delete from query_scores")
        ledger.execute("delete from runs")
    ftspec("state", "verify", cwd=copied, exits=1)
    ftspec("state", "rebuild", cwd=copied)
    assert content(copied) == before


def test_the_ledger_is_whole_and_can_be_copied(finished: Finished, tmp_path: Path) -> None:
    ftspec("state", "verify", cwd=finished.folder)
    ftspec("state", "backup", tmp_path / "copy.duckdb", cwd=finished.folder)
    assert (tmp_path / "copy.duckdb").stat().st_size > 0
    ftspec("state", "backup", tmp_path / "copy.duckdb", cwd=finished.folder, exits=64)


@pytest.mark.parametrize(
    "query",
    [
        "delete from runs",
        "create table t (a int)",
        "copy runs to 'stolen.csv'",
        "attach 'other.duckdb'",
        "select * from read_csv('rows.jsonl')",
        "select * from read_text('spec.yaml')",
        "select * from 'rows.jsonl'",
        "select 1; delete from runs",
        "set enable_external_access = true",
        "install httpfs",
    ],
)
def test_sql_touches_neither_rows_nor_files(finished: Finished, query: str) -> None:
    files = sorted(path.name for path in finished.folder.iterdir())
    ftspec("sql", query, cwd=finished.folder, exits=1)
    assert sorted(path.name for path in finished.folder.iterdir()) == files
    assert len(sql("from runs", finished.folder)) == 1
