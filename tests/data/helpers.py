"""Requests with defaults, and small files of every kind."""

import json
from pathlib import Path
from typing import Any

from ftspec.data.request import DataRequest
from ftspec.plan.embedding import Filters, Limit, SourcePlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Split

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def make_request(folder: Path, *train: SourcePlan, **changes: Any) -> DataRequest:
    split = {"by": "auto", "test": 0.25, "validation": 0.0, "seed": 13, **changes.pop("split", {})}
    limit = {"train": None, "test_queries": None, "test_documents": None, **changes.pop("limit", {})}
    filters = {
        "min_query_chars": 1,
        "max_query_chars": None,
        "min_document_chars": 1,
        "max_document_chars": None,
        "deduplicate": True,
        **changes.pop("filters", {}),
    }
    fields: dict[str, Any] = {
        "evaluation": (),
        "on_error": "fail",
        "slices": (),
        "global_batch_size": 4,
        **changes,
    }
    return DataRequest(
        synth=folder / "synth",
        folder=folder,
        train=train,
        split=Split(**split),
        limit=Limit(**limit),
        filters=Filters(**filters),
        **fields,
    )


def table(path: str, format: str = "auto", **roles: Any) -> SourcePlan:
    return SourcePlan(
        type="file",
        path=path,
        format=format,
        roles=FrozenMap({"query": "query", "positive": "positive", **roles}),
    )


def classes(path: str) -> SourcePlan:
    return SourcePlan(
        type="file", path=path, format="auto", roles=FrozenMap({"query": "text", "label": "label"})
    )


def write_lines(path: Path, items: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pairs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"query": f"question {n}", "positive": f"answer {n}", **more} for n in range(count)]


def write_beir(folder: Path, judged: dict[str, list[tuple[str, str, int]]]) -> Path:
    """Queries q0…q9 in two groups, documents d0…d19, and the judgements of each split."""
    write_lines(
        folder / "corpus.jsonl",
        [{"_id": f"d{n}", "title": "Title" if n % 2 else "", "text": f"document {n}"} for n in range(20)],
    )
    write_lines(
        folder / "queries.jsonl",
        [{"_id": f"q{n}", "text": f"what is {n}", "group": "ab"[n % 2]} for n in range(10)],
    )
    (folder / "qrels").mkdir()
    for split, rows in judged.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
