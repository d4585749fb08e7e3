"""The ledger: a DuckDB file that holds one writing process at a time, and no reader beside it.

So a connection is open for one short transaction only, and both sides wait for each other with a
bound. What can take long (a user's query) runs on a copy.
"""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.store.migrate import load_migrations, migrate, refuse_newer, schema_version
from ftspec.store.project import Project

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_READ_WAIT_SECONDS = 5.0
_WRITE_WAIT_SECONDS = 30.0  # a run's results are worth more patience than a reader's
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """`types` are DuckDB's names. Times come as text in UTC."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Ledger:
    """Doors to the ledger of one project; holds no connection itself."""

    def __init__(
        self,
        project: Project,
        *,
        read_wait_seconds: float = _READ_WAIT_SECONDS,
        write_wait_seconds: float = _WRITE_WAIT_SECONDS,
    ) -> None:
        self._project = project
        self._read_wait = read_wait_seconds
        self._write_wait = write_wait_seconds

    @property
    def path(self) -> Path:
        return self._project.ledger

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def write(self) -> Iterator["DuckDBPyConnection"]:
        """One transaction on the present schema; made when absent, rolled back on an exception.

        Raises FTS611 when the ledger stays taken, is damaged, or is newer than this version.
        """
        self._project.create()
        db = _connect(self.path, read_only=False, wait_seconds=self._write_wait)
        try:
            migrate(db)
            db.execute("BEGIN")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()

    @contextmanager
    def read(self) -> Iterator["DuckDBPyConnection"]:
        """A read-only connection on the present schema. Keep it short: it holds off the writer.

        Raises FTS611 as `write` does, and when there is no ledger.
        """
        if not self.exists:
            raise FtspecError(self._missing())
        known = len(load_migrations())
        db = _connect(self.path, read_only=True, wait_seconds=self._read_wait)
        try:
            present = schema_version(db)
            refuse_newer(present, known)
            if present < known:
                db.close()
                with self.write():
                    pass
                db = _connect(self.path, read_only=True, wait_seconds=self._read_wait)
            yield db
        finally:
            db.close()

    def _missing(self) -> Diagnostic:
        from ftspec.store.leases import current_holder

        records = len(list(self._project.runs.glob("*/record.json")))
        if records:
            return _unreadable(
                f"there is none, but {records} run record{'s' if records != 1 else ''}",
                "`ftspec state rebuild` makes it again",
            )
        holder = current_holder(self._project)
        if holder is not None:
            return _unreadable(
                f"there is none yet; {holder} is at work", "it appears when the first run ends"
            )
        return _unreadable("there is none yet", "`ftspec apply SPEC` makes it")

    def copy_to(self, path: Path) -> None:
        """A consistent copy as one DuckDB file; readable without this project. Replaces `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ftspec-") as folder:
            copy = Path(folder) / "ledger.duckdb"
            self._copy_files(copy)
            _connect(copy, read_only=False, wait_seconds=0).close()  # folds the log into the file
            copy.replace(path)

    def query_readonly(self, sql: str) -> QueryResult:
        """Run a user's query on a copy that can neither write nor reach any file; FTS613 when it fails.

        The copy is what keeps a slow query from holding up a run.
        """
        import duckdb

        with tempfile.TemporaryDirectory(prefix="ftspec-") as folder:
            copy = Path(folder) / "ftspec.duckdb"
            self._copy_files(copy)
            db = _connect(copy, read_only=True, wait_seconds=0)
            try:
                db.execute("SET TimeZone = 'UTC'")
                db.execute("SET temp_directory = ''")
                db.execute("SET enable_external_access = false")
                db.execute("SET lock_configuration = true")
                try:
                    statements = len(duckdb.extract_statements(sql))
                    if statements != 1:
                        raise FtspecError(
                            Diagnostic(
                                code=codes.SQL_FAILED,
                                detail=f"one query at a time: there are {statements} statements",
                                help=_SQL_HELP,
                            )
                        )
                    return _fetch(db.sql(sql))
                except duckdb.Error as error:
                    raise FtspecError(
                        Diagnostic(code=codes.SQL_FAILED, detail=str(error).strip(), help=_SQL_HELP)
                    ) from error
            finally:
                db.close()

    def _copy_files(self, target: Path) -> None:
        """Copy the file and its log while an open reader holds off writers. The connection is closed
        right after, because closing any handle of a file drops the process's locks on it."""
        with self.read():
            log = self.path.with_name(self.path.name + ".wal")
            if log.is_file():
                shutil.copyfile(log, target.with_name(target.name + ".wal"))
            shutil.copyfile(self.path, target)


_SQL_HELP = '`ftspec sql "show tables"` lists the tables, `ftspec sql "describe runs"` their columns'


def _connect(path: Path, *, read_only: bool, wait_seconds: float) -> "DuckDBPyConnection":
    """Open, waiting for another process (or thread) that holds the file the other way."""
    import duckdb

    deadline = time.monotonic() + wait_seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only)
        except duckdb.Error as error:
            message = str(error)
            taken = "lock on file" in message or "different configuration" in message
            if not taken:
                raise FtspecError(
                    _unreadable(
                        f"{path.name}: {_first_line(message).replace(str(path), path.name)}",
                        "`ftspec state rebuild` makes it again",
                    )
                ) from error
            if time.monotonic() + pause > deadline:
                waited = f"another process kept it open for {wait_seconds:g} s"
                raise FtspecError(
                    _unreadable(f"{waited}: {_first_line(message)}", "try again when that process is done")
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _fetch(relation: "DuckDBPyRelation | None") -> QueryResult:
    """All rows. Zoned times are turned into text by DuckDB, whose Python client needs pytz for them."""
    if relation is None:
        return QueryResult(columns=(), types=(), rows=())
    columns, types = tuple(relation.columns), tuple(str(name) for name in relation.types)
    if any("WITH TIME ZONE" in name for name in types):
        parts = [
            f"#{number}::VARCHAR" if "WITH TIME ZONE" in name else f"#{number}"
            for number, name in enumerate(types, start=1)
        ]
        relation = relation.project(", ".join(parts))
    return QueryResult(columns=columns, types=types, rows=tuple(relation.fetchall()))


def json_value(value: Any, type_name: str) -> Any:
    """A cell as a JSON value: JSON columns unpacked, what JSON lacks as text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return json.loads(value) if type_name == "JSON" else value
    if isinstance(value, list | tuple):
        return [json_value(item, "") for item in value]
    if isinstance(value, dict):
        return {str(key): json_value(item, "") for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else str(value)


def _unreadable(detail: str, help: str) -> Diagnostic:
    return Diagnostic(code=codes.LEDGER_UNREADABLE, detail=detail, help=help)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
