import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.store.ledger import Ledger, json_value
from ftspec.store.migrate import load_migrations, migrate, schema_version
from ftspec.store.project import Project
from ftspec.store.records import SpecRow, insert_query_scores, insert_rows, insert_steps
from tests.store.conftest import CURVE, score_rows, write_jsonl

SPEC = SpecRow(
    spec_hash="h", name="n", kind="Embedding", document={"a": "ü"}, first_run="2026-01-02T00:00:00+00:00"
)
TABLES = [
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
]


def record_spec(ledger: Ledger, row: SpecRow) -> None:
    with ledger.write() as db:
        insert_rows(db, [row])


def test_migrations_are_numbered_without_gaps(tmp_path: Path) -> None:
    assert [step.version for step in load_migrations()] == list(range(1, len(load_migrations()) + 1))
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "0003_c.sql").write_text("")
    with pytest.raises(AssertionError, match=r"\[1, 3\]"):
        load_migrations(tmp_path)


@pytest.mark.parametrize("version", range(len(load_migrations()) + 1))
def test_every_older_version_reaches_the_present_one(project: Project, version: int) -> None:
    import duckdb

    with duckdb.connect(str(project.ledger)) as db:
        migrate(db, load_migrations()[:version])
        if version:
            db.execute("INSERT INTO specs VALUES ('old', 'n', 'k', '{}', '2026-01-01T00:00:00Z')")
    record_spec(Ledger(project), SPEC)
    with Ledger(project).read() as db:
        assert schema_version(db) == len(load_migrations())
        tables = {row[0] for row in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert set(TABLES) <= tables
        assert db.execute("SELECT count(*) FROM specs").fetchone() == (2 if version else 1,)


def test_a_failed_migration_leaves_nothing(project: Project, tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "0001_a.sql").write_text("CREATE TABLE a (x INTEGER); CREATE TABLE a (x INTEGER);")
    with duckdb.connect(str(project.ledger)) as db:
        with pytest.raises(duckdb.Error):
            migrate(db, load_migrations(tmp_path / "m"))
        assert schema_version(db) == 0
        assert db.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)


def test_newer_schema_is_refused(project: Project) -> None:
    record_spec(Ledger(project), SPEC)
    with Ledger(project).write() as db:
        db.execute("INSERT INTO schema_versions (version, name) VALUES (99, 'future')")
    with pytest.raises(FtspecError, match=r"FTS611.*schema 99"), Ledger(project).read():
        pass
    with pytest.raises(FtspecError, match=r"FTS611.*schema 99"), Ledger(project).write():
        pass


def test_every_column_of_a_fact_is_documented(project: Project) -> None:
    record_spec(Ledger(project), SPEC)
    with Ledger(project).read() as db:
        tables = db.execute("SELECT table_name FROM duckdb_tables() WHERE comment IS NULL").fetchall()
    assert tables == [("schema_versions",)]


def test_rows_replace_themselves(project: Project) -> None:
    ledger = Ledger(project)
    record_spec(ledger, SPEC)
    early = SpecRow(spec_hash="h", name="n", kind="k", document={}, first_run="2026-01-01T00:00:00+00:00")
    record_spec(ledger, early)
    record_spec(ledger, SPEC)
    result = ledger.query_readonly("SELECT spec_hash, first_run, document FROM specs")
    assert result.rows == (("h", "2026-01-01 00:00:00+00", '{"a": "ü"}'),)
    assert json_value(result.rows[0][2], result.types[2]) == {"a": "ü"}


def test_ten_thousand_scores_in_a_second(project: Project, tmp_path: Path) -> None:
    ledger = Ledger(project)
    path = write_jsonl(tmp_path / "sc[1]*.jsonl", score_rows(5_000))
    for _ in range(2):
        started = time.perf_counter()
        with ledger.write() as db:
            insert_query_scores(db, "r", "h", path)
        assert time.perf_counter() - started < 1.0
    result = ledger.query_readonly(
        "SELECT count(*), count(DISTINCT query_id), any_value(slices->>'group') FROM query_scores"
    )
    assert result.rows[0][:2] == (10_000, 5_000)


def test_steps_repeated_after_a_resume_are_one_row(project: Project, tmp_path: Path) -> None:
    ledger = Ledger(project)
    path = write_jsonl(tmp_path / "curve.jsonl", CURVE)
    for _ in range(2):
        with ledger.write() as db:
            insert_steps(db, "r", "h", path)
    result = ledger.query_readonly("SELECT step, loss, eval FROM steps ORDER BY step")
    assert result.rows == ((10, 2.0, None), (20, 1.4, '{"ndcg@10":0.5}'))


def hold(project: Project, seconds: float, *, read_only: bool) -> subprocess.Popen[str]:
    code = (
        f"import duckdb, time; db = duckdb.connect({str(project.ledger)!r}, read_only={read_only}); "
        f"print('open', flush=True); time.sleep({seconds}); db.close()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


@pytest.mark.parametrize("read_only", [True, False])
def test_both_sides_wait_for_each_other(project: Project, read_only: bool) -> None:
    ledger = Ledger(project)
    record_spec(ledger, SPEC)
    with hold(project, 0.4, read_only=read_only):
        if read_only:
            record_spec(ledger, SPEC)
        else:
            with ledger.read() as db:
                assert db.execute("SELECT count(*) FROM specs").fetchone() == (1,)


def test_the_wait_has_an_end(project: Project) -> None:
    record_spec(Ledger(project), SPEC)
    with hold(project, 30, read_only=False) as child:
        with pytest.raises(FtspecError, match=r"FTS611.*another process kept it open for 0\.2 s"):
            Ledger(project, read_wait_seconds=0.2).query_readonly("SELECT 1")
        with pytest.raises(FtspecError, match="FTS611"):
            record_spec(Ledger(project, write_wait_seconds=0.2), SPEC)
        child.kill()


def test_a_killed_writer_loses_nothing_committed(project: Project) -> None:
    record_spec(Ledger(project), SPEC)
    code = (
        f"import duckdb, os; db = duckdb.connect({str(project.ledger)!r}); "
        "db.execute(\"INSERT INTO specs SELECT 'other', name, kind, document, first_run FROM specs\"); "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert project.ledger.with_name("ftspec.duckdb.wal").exists()
    assert Ledger(project).query_readonly("SELECT count(*) FROM specs").rows == ((2,),)
    Ledger(project).copy_to(project.root / "copy.duckdb")
    assert [path.name for path in project.root.iterdir() if "copy" in path.name] == ["copy.duckdb"]
    import duckdb

    with duckdb.connect(str(project.root / "copy.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(*) FROM specs").fetchone() == (2,)


def test_an_exception_rolls_back(project: Project) -> None:
    ledger = Ledger(project)

    def fail() -> None:
        with ledger.write() as db:
            db.execute("INSERT INTO specs VALUES ('h', 'n', 'k', '{}', now())")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert ledger.query_readonly("SELECT count(*) FROM specs").rows == ((0,),)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY specs TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/out.parquet'",
        "EXPORT DATABASE '{folder}/out'",
        "SELECT * FROM read_text('{folder}/secret.txt')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM glob('{folder}/*')",
        "ATTACH '{folder}/other.duckdb'",
        "INSERT INTO specs VALUES ('x', 'n', 'k', '{{}}', now())",
        "DROP TABLE specs",
        "SELECT 1; DELETE FROM specs",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "INSTALL httpfs",
        "SELECT nonsense",
        "not sql",
    ],
)
def test_sql_neither_writes_nor_reads_files(project: Project, sql: str) -> None:
    ledger = Ledger(project)
    record_spec(ledger, SPEC)
    (project.root / "secret.txt").write_text("s")
    (project.root / "secret.csv").write_text("a\n1\n")
    before = sorted(path.name for path in project.root.iterdir())
    with pytest.raises(FtspecError, match="FTS613"):
        ledger.query_readonly(sql.format(folder=project.root))
    assert sorted(path.name for path in project.root.iterdir()) == before
    assert ledger.query_readonly("SELECT count(*) FROM specs").rows == ((1,),)


def test_sql_results(project: Project) -> None:
    ledger = Ledger(project)
    record_spec(ledger, SPEC)
    result = ledger.query_readonly("SELECT [first_run] AS l, 'nan'::DOUBLE AS f, 1 AS f FROM specs")
    assert result.columns == ("l", "f", "f")
    assert json_value(result.rows[0][1], "DOUBLE") == "nan"
    assert "2026-01-02 00:00:00+00" in result.rows[0][0]
    for sql in ("", "-- nothing", "select 1; select 2"):
        with pytest.raises(FtspecError, match="one query at a time"):
            ledger.query_readonly(sql)
    assert ledger.query_readonly("describe runs").rows[0][0] == "run_id"


def test_no_ledger(project: Project) -> None:
    with pytest.raises(FtspecError, match=r"FTS611.*none yet"):
        Ledger(project).query_readonly("SELECT 1")
    assert not project.ledger.exists()
    (project.runs / "a-run").mkdir(parents=True)
    (project.runs / "a-run" / "record.json").write_text("{}")
    with pytest.raises(FtspecError) as raised:
        Ledger(project).query_readonly("SELECT 1")
    assert "state rebuild" in raised.value.diagnostics[0].help


def test_not_a_database(project: Project) -> None:
    project.ledger.write_bytes(b"x" * 9000)
    with pytest.raises(FtspecError, match=r"FTS611.*not a valid DuckDB"), Ledger(project).read():
        pass


def test_duckdb_is_imported_only_when_used() -> None:
    code = (
        "import sys, ftspec.store.ledger, ftspec.store.rebuild, ftspec.store.registry, ftspec.store.leases, "
        "ftspec.run.launch; print([m for m in ('duckdb', 'torch', 'numpy', 'pyarrow', 'filelock') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )
