import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ftspec.data.rows import Row, RowFault
from ftspec.data.table import open_table
from ftspec.diagnostics.codes import MISSING_COLUMN, SOURCE_NOT_FOUND
from ftspec.diagnostics.model import FtspecError
from ftspec.plan.embedding import SourcePlan
from tests.data.helpers import classes, table, write_lines


def read(folder: Path, plan: SourcePlan) -> list[Row | RowFault]:
    return list(open_table(plan, folder, 0, ("lang",)).rows(lambda: None))


ROWS = [
    {"query": "how to open", "positive": "open(path)", "lang": "de"},
    {"query": "ünï", "positive": "zwei\nZeilen", "lang": "en"},
]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    lines = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    cells = "\r\n".join(",".join(f'"{cell}"' for cell in row.values()) for row in rows)
    header = ",".join(rows[0]) + "\r\n"
    match "".join(path.suffixes):
        case ".jsonl":
            path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
        case ".jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case ".json":
            path.write_text(json.dumps(rows))
        case ".csv":
            path.write_bytes(b"\xef\xbb\xbf" + (header + cells).encode())
        case ".csv.gz":
            path.write_bytes(gzip.compress((header + cells).encode()))
        case ".parquet":
            import duckdb

            source = path.with_suffix(".json")
            source.write_text(json.dumps(rows))
            duckdb.sql(f"COPY (SELECT * FROM read_json('{source}')) TO '{path}'")


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.json", "r.csv", "r.csv.gz", "r.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    rows = read(tmp_path, table(name))
    assert all(isinstance(row, Row) for row in rows), rows
    assert [(row.query, row.positive, row.slices) for row in rows if isinstance(row, Row)] == [
        ("how to open", "open(path)", (("lang", "de"),)),
        ("ünï", "zwei\nZeilen", (("lang", "en"),)),
    ]


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [{"query": "a", "positives": "b"}])
    with pytest.raises(FtspecError) as caught:
        read(tmp_path, table("r.jsonl"))
    (fault,) = caught.value.diagnostics
    assert fault.code is MISSING_COLUMN
    assert fault.help == "did you mean `positives`?"
    assert "`query`, `positives`" in fault.detail


BAD: list[tuple[Any, str]] = [
    ('["list"]', "not a JSON object"),
    ('{"query": "a"', "not valid JSON"),
    ('{"query": "a", "query": "b", "positive": "c"}', "stands twice"),
    ('{"query": "a"}', "`positive` is missing"),
    ('{"query": "  ", "positive": "c"}', "`query` is empty"),
    ('{"query": 7, "positive": "c"}', "`query` is not text"),
    ('{"query": "\\ud800", "positive": "c"}', "surrogate"),
    ('{"query": "a", "positive": []}', "empty list"),
    ('{"query": "a", "positive": "c", "label": 2, "score": 1}', "not 0 or 1"),
    ('{"query": "a", "positive": "c", "label": 1, "score": NaN}', "not a finite number"),
    ('{"query": "a", "positive": "c", "label": 1, "score": "x"}', "not a number"),
    ('{"query": "a", "positive": "c", "label": 1, "score": 1, "no": ["C "]}', "a negative equals"),
    ('{"query": "other", "positive": "c", "label": 1, "score": 1, "no": [], "id": "1"}', "another text"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_bad_rows_say_where_and_why(tmp_path: Path, line: str, reason: str) -> None:
    good = {"query": "q", "positive": "p", "label": 1, "score": 0.5, "no": ["n"], "id": "1"}
    (tmp_path / "r.jsonl").write_text(json.dumps(good) + "\n\n" + line + "\n")
    plan = table("r.jsonl", label="label", score="score", negatives="no", id="id")
    _, fault = read(tmp_path, plan)
    assert isinstance(fault, RowFault)
    assert (fault.file, fault.line) == ("r.jsonl", 3)
    assert reason in fault.reason


def test_bad_csv_lines(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('query,positive\na,b\na,b,c\n"x"y,d\n\ne,"f\ng"\nh,i\n')
    items = read(tmp_path, table("r.csv"))
    assert [(i.line if isinstance(i, RowFault) else i.query) for i in items] == ["a", 3, 4, "e", "h"]


def test_several_positives_and_negative_columns(tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [{"query": "q", "positive": ["a", "b"], "n1": "x", "n2": "y"}])
    rows = read(tmp_path, table("r.jsonl", negatives=("n1", "n2")))
    assert [(r.positive, r.negatives) for r in rows if isinstance(r, Row)] == [
        ("a", ("x", "y")),
        ("b", ("x", "y")),
    ]


def test_classes_are_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [{"text": "a", "label": 3}, {"text": "b", "label": "x"}])
    assert [r.label for r in read(tmp_path, classes("r.jsonl")) if isinstance(r, Row)] == ["3", "x"]


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lines(tmp_path / "deep" / "r.jsonl", [{"query": "a", "positive": "b"}])
    monkeypatch.setenv("FTSPEC_TEST_DATA", str(tmp_path / "deep"))
    assert len(read(Path("/"), table("${env:FTSPEC_TEST_DATA}/r.jsonl"))) == 1
    monkeypatch.delenv("FTSPEC_TEST_DATA")
    (tmp_path / "plain.txt").write_text("x")
    (tmp_path / "bad.jsonl").write_bytes(b'{"query": "\xff"}\n')
    (tmp_path / "bad.jsonl.gz").write_bytes(b"\x1f\x8b not gzip")
    for path in (
        "${env:FTSPEC_TEST_DATA}/r.jsonl",
        "no.jsonl",
        "deep",
        "plain.txt",
        "bad.jsonl",
        "bad.jsonl.gz",
    ):
        with pytest.raises(FtspecError) as caught:
            read(tmp_path, table(path))
        assert caught.value.diagnostics[0].code is SOURCE_NOT_FOUND, path
