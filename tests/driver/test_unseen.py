"""Rows that one of two models was trained on are left out of their comparison."""

import json
from pathlib import Path

import numpy as np

from ftspec.driver.unseen import Side, count_rows, known_rows, without
from ftspec.evaluate.evaluate import evaluate
from tests.example_evidence import example_plan, write_encoding, write_lines, write_split
from tests.example_text import example_text_plan


def test_queries_are_left_out_with_their_vectors(tmp_path: Path) -> None:
    plan = example_plan()
    split = write_split(tmp_path / "split")
    queries = [json.loads(line) for line in (split / "test" / "queries.jsonl").read_text().splitlines()]
    trained = tmp_path / "trained"
    write_lines(trained / "train.jsonl", [{"query": queries[place]["text"]} for place in (1, 5)])
    known = known_rows(plan, split, trained)
    assert known == {"q001", "q005"}
    whole = Side(
        split=split,
        base=write_encoding(tmp_path / "base", noise=2.0),
        tuned=write_encoding(tmp_path / "tuned", noise=1.0),
    )
    assert without(plan, whole, frozenset(), tmp_path / "unused") == whole
    side = without(plan, whole, known, tmp_path / "side")
    assert count_rows(plan, side) == 38
    for name in ("base", "tuned"):
        before, after = (
            np.load(tmp_path / name / "queries.npy"),
            np.load(tmp_path / "side" / name / "queries.npy"),
        )
        assert np.array_equal(after, np.delete(before, [1, 5], axis=0))
    results = []
    for number, each in enumerate((whole, side)):
        out = tmp_path / f"out{number}"
        out.mkdir()
        results.append(evaluate(plan, each.split, each.base, each.tuned, out).scores)
    kept = [place for place, id in enumerate(results[0].query_ids) if id not in known]
    assert results[1].query_ids == tuple(results[0].query_ids[place] for place in kept)
    for metric, values in results[0].tuned.items():
        assert results[1].tuned[metric] == tuple(values[place] for place in kept)


def test_rows_of_text_are_left_out(tmp_path: Path) -> None:
    plan = example_text_plan()
    rows = [{"id": f"r{number}", "prompt": f"p{number}", "completion": "c"} for number in range(4)]
    write_lines(tmp_path / "split" / "test.jsonl", rows)
    # the same question with another answer is another row
    write_lines(
        tmp_path / "trained" / "train.jsonl", [{**rows[2], "id": "x"}, {**rows[3], "completion": "d"}]
    )
    known = known_rows(plan, tmp_path / "split", tmp_path / "trained")
    assert known == {"r2"}
    for name in ("base", "tuned"):
        write_lines(
            tmp_path / name / "losses.jsonl", [{"id": row["id"], "nll": 1.0, "tokens": 2} for row in rows]
        )
        write_lines(tmp_path / name / "answers.jsonl", [{"id": row["id"], "text": "t"} for row in rows[1:]])
    whole = Side(split=tmp_path / "split", base=tmp_path / "base", tuned=tmp_path / "tuned")
    side = without(plan, whole, known, tmp_path / "side")
    assert side.split == whole.split
    assert (count_rows(plan, whole), count_rows(plan, side)) == (4, 3)
    answers = (side.tuned / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in answers] == ["r1", "r3"]
