import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.data import llm_survey
from ftspec.data.llm_request import LlmRequest
from ftspec.data.llm_stages import ingest_llm, split_llm, tokenize_llm
from ftspec.data.llm_survey import survey_llm
from ftspec.data.packing import pack
from ftspec.diagnostics import codes
from tests.data.helpers import read_lines, write_lines
from tests.data.llm_helpers import (
    chat_source,
    dialogue,
    dialogues,
    documents,
    llm_request,
    pair_source,
    questions,
    raft_source,
    texts,
)


def run_stages(request: LlmRequest, out: Path) -> Path:
    ingested, found = ingest_llm(request, out / "ingest")
    assert ingested is not None, found.items
    divided, found = split_llm(request, ingested, out / "split")
    assert divided is not None, found.items
    made, found = tokenize_llm(request, divided, out / "tokenize")
    assert made is not None, found.items
    return made


def mixed(folder: Path, base: Path, **changes: Any) -> LlmRequest:
    write_lines(folder / "chat.jsonl", [*dialogues(20), dialogue("Long?", "so " * 500)])
    write_lines(
        folder / "pairs.jsonl",
        [*texts(20, level="easy"), {"prompt": "p " * 600, "completion": "c", "level": "hard"}],
    )
    write_lines(folder / "docs.jsonl", documents(15))
    write_lines(folder / "qa.jsonl", questions(12))
    sources = (chat_source("chat.jsonl"), pair_source("pairs.jsonl"), raft_source())
    return llm_request(folder, base, *sources, **{"max_seq_length": 500, "slices": ("level",), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"too_long": "truncate", "split": {"validation": 0.2}},
        {"packing": True, "limit": {"train": 20, "test": 5}},
        {"train_on": "assistant"},
        {"train_on": "all", "packing": True},
    ],
    ids=str,
)
def test_survey_and_stages_agree(changes: dict[str, Any], tmp_path: Path, chat_base: Path) -> None:
    request = mixed(tmp_path, chat_base, **changes)
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    folder = run_stages(request, tmp_path)
    report = json.loads((folder / "report.json").read_text())
    told = json.loads(json.dumps(asdict(facts)))
    for name in told.keys() & report.keys():
        assert report[name] == told[name], name
    split = json.loads((tmp_path / "split" / "report.json").read_text())
    for name in told.keys() & split.keys():
        assert split[name] == told[name], name
    assert told.keys() - report.keys() - split.keys() == {"tokenizer_digest"}
    train, test = read_lines(folder / "train.jsonl"), read_lines(folder / "test.jsonl")
    assert (len(train), len(test)) == (facts.sequences, facts.test_rows)
    assert sum(len(row["input_ids"]) for row in train) == facts.train_tokens
    assert sum(sum(row["mask"]) for row in train) == facts.trained_tokens
    assert sum(sum(row["mask"]) for row in test) == facts.tested_tokens
    assert (folder / "validation.jsonl").is_file() == bool(facts.validation_rows)
    for row in (*train, *test):
        assert len(row["input_ids"]) == len(row["mask"]) <= 500
        assert sum(row["mask"]) >= 1
        assert not any(row["mask"][start] for start in row.get("segments", [0]))
        assert 0 < row["prompt_length"] < len(row["input_ids"])
    if changes.get("packing"):
        assert facts.sequences < facts.train_rows
        assert sum(len(row["segments"]) for row in train) == facts.train_rows
    if "limit" not in changes:
        assert (facts.prompt_too_long, facts.dropped_too_long + facts.truncated) == (1, 1)
    assert facts.render == ("chat", "chat", "chat")


def test_a_survey_is_cached_by_content(
    tmp_path: Path, chat_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = mixed(tmp_path, chat_base)
    cold, warned = survey_llm(request, tmp_path / "cache")
    assert cold is not None
    assert [item.code for item in warned] == [codes.ROWS_TOO_LONG]
    monkeypatch.setattr(llm_survey, "collect_text", None)  # a warm survey reads no row
    monkeypatch.setattr(llm_survey, "LlmTokenizer", None)
    monkeypatch.setattr(llm_survey, "_last", None)
    warm, again = survey_llm(request, tmp_path / "cache")
    assert warm == cold
    assert again.items == warned.items
    monkeypatch.undo()
    other, _ = survey_llm(replace(request, max_seq_length=1600), tmp_path / "cache")
    assert other is not None
    assert other.lengths.share_above_limit < cold.lengths.share_above_limit
    for file in (tmp_path / "cache" / "survey").iterdir():
        for damage in ("", "[]", '{"sources": []}'):
            file.write_text(damage)
    assert survey_llm(request, tmp_path / "cache")[0] == cold


def test_files_of_the_stages(tmp_path: Path, chat_base: Path) -> None:
    tools = [{"type": "function", "function": {"name": "z", "a": 1}}]
    write_lines(tmp_path / "r.jsonl", dialogues(8, functions=tools, topic="t"))
    request = llm_request(tmp_path, chat_base, chat_source("r.jsonl", tools="functions", group="topic"))
    folder = run_stages(request, tmp_path)
    rows = read_lines(tmp_path / "ingest" / "rows.jsonl")
    assert rows[3] == {
        "id": rows[3]["id"],
        "source": 0,
        "line": 4,
        "messages": [{"role": "user", "content": "What is 3?"}, {"role": "assistant", "content": "It is 9."}],
        "tools": tools,
        "answers": ["It is 9."],
        "group": "t",
        "slices": {"group": "t"},
    }
    # Templates write tools as they stand: the order of their keys is kept.
    assert '"name": "z", "a": 1' in (tmp_path / "split" / "train.jsonl").read_text()
    row = read_lines(folder / "train.jsonl")[0]
    assert row.keys() == {"id", "input_ids", "mask", "prompt_length"}
    report = json.loads((folder / "report.json").read_text())
    (example, *_) = report["sides"]["train"]["examples"]
    assert example["before"].endswith("<|im_start|>assistant\n")
    assert example["trained"] == [f"It is {int(example['trained'][0].split()[2][:-11])}.<|im_end|>"]
    assert report["fixed_date"] is False


def test_text_without_a_template(tmp_path: Path, text_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", texts(8))
    request = llm_request(tmp_path, text_base, pair_source("r.jsonl"))
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    assert (facts.render, facts.test_with_answers, facts.test_raft) == (("text",), 2, 0)
    report = json.loads((run_stages(request, tmp_path) / "report.json").read_text())
    example = report["sides"]["train"]["examples"][0]
    assert example["before"] == "Q 0:\n" or example["before"].startswith("Q ")
    assert example["trained"][0].startswith("answer ")
    assert example["trained"][0].endswith("<|im_end|>")


def test_formats(tmp_path: Path, chat_base: Path) -> None:
    """Chats of Parquet and of a JSON list; prompts of CSV; lists as JSON text where a cell cannot nest."""
    import duckdb

    write_lines(tmp_path / "r.jsonl", dialogues(8))
    (tmp_path / "r.json").write_text(json.dumps([*dialogues(4), *[dialogue(f"x{n}", "y") for n in range(4)]]))
    duckdb.sql(f"COPY (SELECT * FROM read_json('{tmp_path}/r.jsonl')) TO '{tmp_path}/r.parquet'")
    lines = ["prompt,completion", *[f"ask {n},reply {n}" for n in range(8)]]
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
    cells = ["messages", *['"' + json.dumps(d["messages"]).replace('"', '""') + '"' for d in dialogues(8)]]
    (tmp_path / "m.csv").write_text("\n".join(cells) + "\n")
    request = llm_request(
        tmp_path,
        chat_base,
        chat_source("r.parquet"),
        chat_source("r.json"),
        chat_source("m.csv"),
        pair_source("r.csv"),
    )
    facts, found = survey_llm(request, tmp_path / "cache")
    assert facts is not None, found.items
    assert [source.rows for source in facts.sources] == [8, 8, 8, 8]
    assert facts.duplicates_removed == 4 + 8


def test_ids(tmp_path: Path, chat_base: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{**row, "k": n} for n, row in enumerate(texts(4))])
    write_lines(tmp_path / "b.jsonl", [*texts(4), *texts(4)])
    request = llm_request(
        tmp_path, chat_base, pair_source("a.jsonl", id="k"), pair_source("b.jsonl"), deduplicate=False
    )
    folder, _ = ingest_llm(request, tmp_path / "i")
    assert folder is not None
    ids = [row["id"] for row in read_lines(folder / "rows.jsonl")]
    assert len(set(ids)) == 12
    assert ids[:4] == ["0/0", "0/1", "0/2", "0/3"]
    assert ids[8] == ids[4] + "#2"


def test_ingest_refuses_moved_sources(tmp_path: Path, chat_base: Path) -> None:
    write_lines(tmp_path / "r.jsonl", texts(8))
    request = llm_request(tmp_path, chat_base, pair_source("r.jsonl"))
    facts, _ = survey_llm(request, tmp_path / "cache")
    assert facts is not None
    assert ingest_llm(request, tmp_path / "i", expected_digest=facts.digest)[0] == tmp_path / "i"
    write_lines(tmp_path / "r.jsonl", texts(9))
    folder, found = ingest_llm(request, tmp_path / "j", expected_digest=facts.digest)
    assert folder is None
    assert [item.code for item in found] == [codes.STALE_PLAN]


def test_damaged_folders_are_diagnostics(tmp_path: Path, chat_base: Path) -> None:
    request = llm_request(tmp_path, chat_base, pair_source("r.jsonl"))
    for stage in (split_llm, tokenize_llm):
        _, found = stage(request, tmp_path / "nowhere", tmp_path / "s")
        assert [item.code for item in found] == [codes.ARTIFACT_DAMAGED]
    assert not (tmp_path / "s").exists()


def test_packing_fills_sequences() -> None:
    rows = [(f"r{n}", 1 + (n * 37) % 90) for n in range(500)]
    bins = pack(rows, 100, 13)
    assert sorted(place for each in bins for place in each) == list(range(500))
    sizes = [sum(rows[place][1] for place in each) for each in bins]
    assert max(sizes) <= 100
    assert len(bins) <= 1.02 * sum(sizes) / 100 + 1
    shuffled = rows[::-1]
    again = pack(shuffled, 100, 13)
    names = [{rows[place][0] for place in each} for each in bins]
    assert names == [{shuffled[place][0] for place in each} for each in again]


RERUN = """
import sys
from pathlib import Path
from ftspec.data.llm_survey import survey_llm
from tests.data.test_llm_stages import mixed, run_stages
root, base, out = map(Path, sys.argv[1:])
request = mixed(root, base, split={"validation": 0.2}, packing=True)
facts, _ = survey_llm(request, out / "cache")
run_stages(request, out)
(out / "facts").write_text(ascii(facts))
heavy = {"torch", "transformers", "duckdb", "datasets", "accelerate"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_bytes_are_the_same_under_another_hash_seed_and_locale(tmp_path: Path, chat_base: Path) -> None:
    outs = []
    root = Path(__file__).resolve().parents[2]
    for seed, locale in (("1", "C"), ("2", "C.UTF-8")):
        out = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONUTF8": "0"}
        environment["PYTHONPATH"] = str(root)
        subprocess.run(
            [sys.executable, "-c", RERUN, str(tmp_path), str(chat_base), str(out)],
            check=True,
            env=environment,
            cwd=root,
        )
        files = [p for p in sorted(out.rglob("*")) if p.is_file() and "cache" not in p.parts]
        outs.append({str(p.relative_to(out)): p.read_bytes() for p in files})
    assert len(outs[0]) == 11
    assert outs[0] == outs[1]


def test_progress_counts_sources_then_rows(tmp_path: Path, chat_base: Path) -> None:
    told: list[tuple[int, int, str]] = []
    write_lines(tmp_path / "pairs.jsonl", texts(600))
    request = llm_request(tmp_path, chat_base, pair_source("pairs.jsonl"))
    survey_llm(request, tmp_path / "cache", on_progress=lambda *each: told.append(each))
    assert told[:2] == [(0, 1, "sources"), (1, 1, "sources")]
    assert told[2:] == [(done, 600, "rows") for done in range(100, 700, 100)]
    told.clear()
    survey_llm(request, tmp_path / "cache", on_progress=lambda *each: told.append(each))
    assert told == []
