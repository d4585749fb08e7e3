import gzip
from pathlib import Path

import pytest

from ftspec.data.beir import open_beir
from ftspec.data.rows import Row, RowFault
from ftspec.diagnostics.model import FtspecError
from ftspec.plan.embedding import SourcePlan
from tests.data.helpers import SHARED, write_beir


def plan(split: str, path: str = ".") -> SourcePlan:
    return SourcePlan(type="beir", path=path, split=split)


def test_rows_and_evaluation(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "set", {"test": [("q0", "d0", 2), ("q0", "d1", 1), ("q1", "d2", 0)]})
    plain = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    source = open_beir(plan("test"), folder, 0)
    rows = list(source.rows(lambda: None))
    assert [(r.query_id, r.positive, r.grade, r.group) for r in rows if isinstance(r, Row)] == [
        ("q0", "document 0", 2, "a"),
        ("q0", "Title\ndocument 1", 1, "a"),
    ]
    evaluation, faults = source.evaluation(lambda: None)
    assert not faults
    assert [(query.id, query.slices) for query in evaluation.queries] == [("q0", (("group", "a"),))]
    assert len(evaluation.documents) == 20
    assert evaluation.grades == {("q0", "d0"): 2, ("q0", "d1"): 1}


def test_bad_judgements(tmp_path: Path) -> None:
    rows = [("q0", "d0", 1), ("q0", "d0", 1), ("q99", "d0", 1), ("q1", "d99", 1), ("q1", "d1", -1)]
    folder = write_beir(tmp_path / "set", {"train": rows})
    faults = [f for f in open_beir(plan("train"), folder, 0).rows(lambda: None) if isinstance(f, RowFault)]
    assert [fault.line for fault in faults] == [3, 4, 5, 6]
    assert str(faults[1]) == "./qrels/train.tsv:4: the query `q99` is not in queries.jsonl"


def test_what_was_looked_for(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "set", {"train": [("q0", "d0", 1)]})
    with pytest.raises(FtspecError, match=r"qrels/dev\.tsv") as caught:
        open_beir(plan("dev"), folder, 0)
    assert caught.value.diagnostics[0].help == "it has the splits train"
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(FtspecError, match=r"neither corpus\.jsonl nor corpus\.jsonl\.gz"):
        open_beir(plan("train"), folder, 0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real sets are not here")
@pytest.mark.parametrize(
    ("name", "queries", "documents", "judged"),
    [
        ("scifact", 300, 5183, 339),
        ("medquad", 1804, 8341, 2015),
        ("tldr", 2442, 6798, 2615),
        ("squad-dev", 646, 936, 646),
    ],
)
def test_real_sets(name: str, queries: int, documents: int, judged: int) -> None:
    evaluation, faults = open_beir(plan("test", name), SHARED, 0).evaluation(lambda: None)
    assert not faults
    assert (len(evaluation.queries), len(evaluation.documents), len(evaluation.grades)) == (
        queries,
        documents,
        judged,
    )
