import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftspec.data import survey as survey_module
from ftspec.data.stages import ingest, split
from ftspec.data.survey import survey
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Severity
from ftspec.plan.embedding import SourcePlan
from tests.data.helpers import (
    SHARED,
    classes,
    make_request,
    pairs,
    read_lines,
    table,
    write_beir,
    write_lines,
)


def test_survey_is_cached_by_content(
    tmp_path: Path, tokenizer_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_lines(tmp_path / "r.jsonl", pairs(40))
    request = make_request(tmp_path, table("r.jsonl"))
    cold, found = survey(request, tokenizer_json, 3, tmp_path / "cache")
    assert cold is not None
    assert not found.items
    assert (cold.train_rows, cold.test_queries, cold.split_by) == (30, 10, "positive")
    assert cold.roles == ("query", "positive")
    assert (cold.query_lengths.mean, cold.query_lengths.share_above_limit) == (4.0, 1.0)
    assert cold.query_lengths.padded_mean == 3.0
    monkeypatch.setattr(survey_module, "collect", None)  # a warm survey reads no row
    assert survey(request, tokenizer_json, 3, tmp_path / "cache")[0] == cold
    monkeypatch.undo()
    with file.open("a") as out:
        out.write(json.dumps(pairs(41)[-1]) + "\n")
    changed, _ = survey(request, tokenizer_json, 3, tmp_path / "cache")
    assert changed is not None
    assert changed.digest != cold.digest


def test_a_moved_file_keeps_its_digest(tmp_path: Path, tokenizer_json: Path) -> None:
    digests = []
    for name in ("one/r.jsonl", "two/s.jsonl"):
        path = write_lines(tmp_path / name, pairs(20))
        request = make_request(path.parent, table(path.name))
        facts, _ = survey(request, tokenizer_json, 8, tmp_path / "cache")
        assert facts is not None
        digests.append(facts.digest)
    assert digests[0] == digests[1]


def test_damaged_cache_is_made_again(tmp_path: Path, tokenizer_json: Path) -> None:
    write_lines(tmp_path / "r.jsonl", pairs(20))
    request = make_request(tmp_path, table("r.jsonl"))
    facts, _ = survey(request, tokenizer_json, 8, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "survey").iterdir()
    for damage in ("", "[]", '{"sources": []}'):
        file.write_text(damage)
        assert survey(request, tokenizer_json, 8, tmp_path / "cache")[0] == facts


def test_bad_rows_fail_or_are_counted(tmp_path: Path, tokenizer_json: Path) -> None:
    write_lines(tmp_path / "r.jsonl", [*pairs(20), *[{"query": "x"}] * 30])
    request = make_request(tmp_path, table("r.jsonl"))
    facts, found = survey(request, tokenizer_json, 8, tmp_path / "cache")
    assert facts is None
    assert {item.code for item in found} == {codes.BAD_ROW}
    assert len(found) == 21
    first, last = found.items[0], found.items[-1]
    assert first.detail == "`positive` is missing"
    assert first.primary is not None
    assert (first.primary.line, first.primary.excerpt) == (21, '{"query": "x"}')
    assert "10 more bad rows, 30 in all" in last.detail
    request = make_request(tmp_path, table("r.jsonl"), on_error="skip")
    for _ in range(2):  # cold and warm say the same
        facts, found = survey(request, tokenizer_json, 8, tmp_path / "cache")
        assert facts is not None
        assert facts.sources[0].skipped == 30
        assert [(item.code, item.level) for item in found] == [(codes.ROWS_SKIPPED, Severity.WARNING)]


def test_broken_files_of_a_code_base_are_a_note(tmp_path: Path, tokenizer_json: Path) -> None:
    for n in range(8):
        body = f'def f{n}():\n    """Return the number {n} of it."""\n    return {n}\n'
        (tmp_path / f"m{n}.py").write_text(body)
    (tmp_path / "broken.py").write_text("def (:")
    facts, found = survey(
        make_request(tmp_path, SourcePlan(type="code", path=".")), tokenizer_json, 8, tmp_path / "cache"
    )
    assert facts is not None
    assert facts.split_by == "group"
    assert [(item.code, item.level) for item in found] == [(codes.ROWS_SKIPPED, Severity.NOTE)]


def test_faults_of_survey(tmp_path: Path, tokenizer_json: Path) -> None:
    write_lines(tmp_path / "r.jsonl", pairs(20))
    request = make_request(tmp_path, table("r.jsonl"))
    _, found = survey(request, None, 8, tmp_path / "cache")
    assert [item.code for item in found] == [codes.MODEL_NOT_READABLE]
    (tmp_path / "tokenizer.json").write_text("{}")
    _, found = survey(request, tmp_path / "tokenizer.json", 8, tmp_path / "cache")
    assert [item.code for item in found] == [codes.MODEL_NOT_READABLE]
    both = make_request(tmp_path, table("no.jsonl"), table("none.jsonl"))
    _, found = survey(both, tokenizer_json, 8, tmp_path / "cache")
    assert [item.code for item in found] == [codes.SOURCE_NOT_FOUND] * 2
    (tmp_path / "empty.jsonl").write_text("")
    _, found = survey(make_request(tmp_path, table("empty.jsonl")), tokenizer_json, 8, tmp_path / "cache")
    assert [item.code for item in found] == [codes.SOURCE_EMPTY]
    long = make_request(tmp_path, table("r.jsonl"), filters={"min_query_chars": 99})
    _, found = survey(long, tokenizer_json, 8, tmp_path / "cache")
    assert [item.code for item in found] == [codes.SOURCE_EMPTY]


def test_files_of_the_stages(tmp_path: Path) -> None:
    judged = {
        "train": [("q0", "d0", 1), ("q0", "d1", 1), ("q1", "d2", 1)],
        "test": [("q2", "d3", 2), ("q2", "d4", 0)],
    }
    write_beir(tmp_path / "set", judged)
    source = SourcePlan(type="beir", path="set", split="train")
    test = SourcePlan(type="beir", path="set", split="test")
    request = make_request(tmp_path, source, evaluation=(test,))
    progress: list[tuple[int, int, str]] = []
    folder, found = ingest(request, tmp_path / "i", on_progress=lambda *step: progress.append(step))
    assert folder is not None, found.items
    assert progress[-1] == (6, 6, "files")
    assert split(request, folder, tmp_path / "s")[0] == tmp_path / "s"
    rows = read_lines(tmp_path / "s" / "train.jsonl")
    assert rows[0] == {
        "query_id": "q0",
        "query": "what is 0",
        "positive_id": "d0",
        "positive": "document 0",
        "judged": ["d0", "d1"],
    }
    queries = read_lines(tmp_path / "s" / "test" / "queries.jsonl")
    assert queries == [{"id": "q2", "text": "what is 2", "slices": {"group": "a"}}]
    assert len(read_lines(tmp_path / "s" / "test" / "corpus.jsonl")) == 20
    assert read_lines(tmp_path / "s" / "test" / "qrels.jsonl") == [
        {"query_id": "q2", "document_id": "d3", "grade": 2},
        {"query_id": "q2", "document_id": "d4", "grade": 0},
    ]
    assert not (tmp_path / "s" / "validation").exists()
    report = json.loads((tmp_path / "s" / "report.json").read_text())
    assert (report["train_rows"], report["split_by"], report["leaked_queries"]) == (3, "given", 0)


def test_stages_agree_with_the_survey(tmp_path: Path, tokenizer_json: Path) -> None:
    write_lines(
        tmp_path / "r.jsonl", [{"text": f"text {n}", "label": f"c{n % 3}", "extra": "e"} for n in range(60)]
    )
    request = make_request(
        tmp_path, classes("r.jsonl"), split={"validation": 0.2}, slices=("extra",), limit={"train": 20}
    )
    facts, _ = survey(request, tokenizer_json, 8, tmp_path / "cache")
    assert facts is not None
    assert (facts.roles, facts.classes, facts.slices) == (("query", "label"), 3, ("extra",))
    assert facts.document_lengths.count == 0
    folder, _ = ingest(request, tmp_path / "i")
    assert folder is not None
    split(request, folder, tmp_path / "s")
    report = json.loads((tmp_path / "s" / "report.json").read_text())
    for name in ("train_rows", "test_queries", "test_documents", "validation_queries", "digest"):
        assert report[name] == getattr(facts, name)
    rows = read_lines(tmp_path / "s" / "train.jsonl")
    assert {(row["label"], row["class"]) for row in rows} <= {(0, "c0"), (1, "c1"), (2, "c2")}
    assert (tmp_path / "s" / "validation" / "queries.jsonl").is_file()


def test_ingest_refuses_moved_sources(tmp_path: Path, tokenizer_json: Path) -> None:
    write_lines(tmp_path / "r.jsonl", pairs(20))
    request = make_request(tmp_path, table("r.jsonl"))
    facts, _ = survey(request, tokenizer_json, 8, tmp_path / "cache")
    assert facts is not None
    assert ingest(request, tmp_path / "i", expected_digest=facts.digest)[0] == tmp_path / "i"
    write_lines(tmp_path / "r.jsonl", pairs(21))
    folder, found = ingest(request, tmp_path / "j", expected_digest=facts.digest)
    assert folder is None
    assert [item.code for item in found] == [codes.STALE_PLAN]


def test_damaged_ingest_is_a_diagnostic(tmp_path: Path) -> None:
    request = make_request(tmp_path, table("r.jsonl"))
    _, found = split(request, tmp_path / "nowhere", tmp_path / "s")
    assert [item.code for item in found] == [codes.ARTIFACT_DAMAGED]
    assert not (tmp_path / "s").exists()


RERUN = """
import sys
from pathlib import Path
from ftspec.data.stages import ingest, split
from tests.data.helpers import make_request, table
root, out = Path(sys.argv[1]), Path(sys.argv[2])
request = make_request(root, table("r.jsonl", negatives="n", group="g"), split={"validation": 0.2, "by": "positive"})
folder, _ = ingest(request, out / "i")
split(request, folder, out / "s")
heavy = {"torch", "transformers", "duckdb", "numpy", "jinja2", "datasets", "scipy", "accelerate"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_bytes_are_the_same_under_another_hash_seed_and_locale(tmp_path: Path) -> None:
    rows = [{**row, "n": ["näh", f"no {k}"], "g": str(k % 9)} for k, row in enumerate(pairs(60))]
    write_lines(tmp_path / "r.jsonl", rows)
    outs = []
    for seed, locale in (("1", "C"), ("2", "C.UTF-8")):
        out = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONUTF8": "0"}
        root = Path(__file__).resolve().parents[2]
        environment["PYTHONPATH"] = str(root)
        subprocess.run(
            [sys.executable, "-c", RERUN, str(tmp_path), str(out)], check=True, env=environment, cwd=root
        )
        outs.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
    assert len(outs[0]) == 10
    assert outs[0] == outs[1]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real sets are not here")
@pytest.mark.parametrize(("name", "leaked"), [("scifact", 181), ("squad-dev", 0)])
def test_leakage_of_real_sets(tmp_path: Path, tokenizer_json: Path, name: str, leaked: int) -> None:
    train, test = (SourcePlan(type="beir", path=name, split=split) for split in ("train", "test"))
    facts, _ = survey(make_request(SHARED, train, evaluation=(test,)), tokenizer_json, 64, tmp_path / "cache")
    assert facts is not None
    assert (facts.leaked_queries, facts.leaked_positives) == (0, leaked)


def test_standard_library(tmp_path: Path, tokenizer_json: Path) -> None:
    request = make_request(
        tmp_path, SourcePlan(type="code", path="stdlib"), limit={"train": 1024, "test_queries": 500}
    )
    facts, found = survey(request, tokenizer_json, 128, tmp_path / "cache")
    assert facts is not None, found.items
    assert 4_000 < facts.sources[0].rows < 7_000
    assert (facts.split_by, facts.train_rows, facts.test_queries) == ("group", 1024, 500)
    best = min(_seconds(request, tokenizer_json, tmp_path / "cache") for _ in range(3))
    assert best < 0.4  # 0.03 s on a quiet core


def _seconds(request: object, tokenizer_json: Path, cache: Path) -> float:
    start = time.perf_counter()
    survey(request, tokenizer_json, 128, cache)  # type: ignore[arg-type]
    return time.perf_counter() - start
