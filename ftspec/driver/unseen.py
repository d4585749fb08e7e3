"""The held-out rows that neither of two models was trained on.

A promotion is judged on the held-out side of the promoted model. Where the split was another one before, the
present model may know some of these rows, and would look better than it is; they are left out.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.evaluate.lines import read_lines, write_lines
from ftspec.lower.links import place_file
from ftspec.plan.codec import canonical_json
from ftspec.plan.model import Plan

LLM = "LLM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A split, and what both models made of its held-out side."""

    split: Path
    base: Path
    tuned: Path


def known_rows(plan: Plan, split: Path, trained: Path) -> frozenset[str]:
    """Ids of the held-out rows of `split` that stand among the training rows of the split `trained`."""
    held_out = _held_out(plan, split)
    seen = {_said(row) for row in read_lines(trained / "train.jsonl")}
    return frozenset(str(row["id"]) for row in read_lines(held_out) if _said(row) in seen)


def count_held_out(plan: Plan, split: Path) -> int:
    """How many rows a split holds out; of text a few of them may be too long to be scored."""
    return sum(1 for _ in read_lines(_held_out(plan, split)))


def _held_out(plan: Plan, split: Path) -> Path:
    return split / ("test.jsonl" if plan.kind == LLM else "test/queries.jsonl")


def count_rows(plan: Plan, side: Side) -> int:
    """How many held-out rows there are to compare on."""
    path = side.base / "losses.jsonl" if plan.kind == LLM else side.split / "test" / "queries.jsonl"
    return sum(1 for _ in read_lines(path))


def without(plan: Plan, side: Side, known: frozenset[str], folder: Path) -> Side:
    """Copies below `folder` that lack the known rows; documents stay, as both models rank the same ones."""
    if not known:
        return side
    made = Side(
        split=side.split if plan.kind == LLM else _split_without(side.split, known, folder / "split"),
        base=folder / "base",
        tuned=folder / "tuned",
    )
    for source, target in ((side.base, made.base), (side.tuned, made.tuned)):
        target.mkdir(parents=True)
        if plan.kind == LLM:
            for name in ("losses.jsonl", "answers.jsonl"):
                if (source / name).exists():
                    write_lines(
                        target / name, (row for row in read_lines(source / name) if row["id"] not in known)
                    )
        else:
            _vectors_without(side.split, source, known, target)
    return made


def _split_without(split: Path, known: frozenset[str], target: Path) -> Path:
    for name, key in (("queries.jsonl", "id"), ("qrels.jsonl", "query_id")):
        path = target / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, (row for row in read_lines(split / "test" / name) if row[key] not in known))
    place_file(split / "test" / "corpus.jsonl", target / "test" / "corpus.jsonl")
    if (split / "report.json").exists():
        shutil.copyfile(split / "report.json", target / "report.json")
    return target


def _vectors_without(split: Path, source: Path, known: frozenset[str], target: Path) -> None:
    import numpy as np

    kept = [
        place
        for place, row in enumerate(read_lines(split / "test" / "queries.jsonl"))
        if row["id"] not in known
    ]
    np.save(target / "queries.npy", np.load(source / "queries.npy", mmap_mode="r", allow_pickle=False)[kept])
    for name in ("corpus.npy", "latency.json"):
        if (source / name).exists():
            place_file(source / name, target / name)


def _said(row: Mapping[str, Any]) -> str:
    """What a row asks; of text the whole of it."""
    for name in ("messages", "prompt", "query", "text"):
        if row.get(name):
            return canonical_json([row[name], row.get("completion")])
    return canonical_json({name: value for name, value in row.items() if name != "id"})
