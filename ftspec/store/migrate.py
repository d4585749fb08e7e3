"""The schema of the ledger, as numbered steps that are each applied once."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, "
    "applied TIMESTAMPTZ NOT NULL DEFAULT now())"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    version: int
    name: str
    sql: str


def load_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The steps in order. Numbers start at 1 and have no gap: else two branches numbered apart."""
    steps = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        assert match is not None, f"not a migration's name: {path.name}"
        steps.append(Migration(version=int(match[1]), name=match[2], sql=path.read_text(encoding="utf-8")))
    numbers = [step.version for step in steps]
    assert numbers == list(range(1, len(steps) + 1)), f"migrations are not numbered 1, 2, …: {numbers}"
    return tuple(steps)


def schema_version(db: "DuckDBPyConnection") -> int:
    """The last step that was applied; 0 for an empty database."""
    known = db.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'schema_versions'").fetchone()
    if known is None:
        return 0
    row = db.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    assert row is not None
    return int(row[0])


def migrate(db: "DuckDBPyConnection", migrations: tuple[Migration, ...] | None = None) -> int:
    """Bring a writable ledger to the present schema, all steps in one transaction; how many ran.

    Raises FTS611 when the ledger was written by a newer version.
    """
    steps = load_migrations() if migrations is None else migrations
    present = schema_version(db)
    refuse_newer(present, len(steps))
    if present == len(steps):
        return 0
    db.execute("BEGIN")
    try:
        db.execute(_VERSIONS)
        for step in steps[present:]:
            db.execute(step.sql)
            db.execute("INSERT INTO schema_versions (version, name) VALUES (?, ?)", [step.version, step.name])
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return len(steps) - present


def refuse_newer(present: int, known: int) -> None:
    """Raise FTS611 when the ledger's schema is newer than this version knows."""
    if present > known:
        raise FtspecError(
            Diagnostic(
                code=codes.LEDGER_UNREADABLE,
                detail=f"it has schema {present}; this ftspec knows schemas up to {known}",
                help="use the newer ftspec that wrote it",
            )
        )
