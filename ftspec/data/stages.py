"""The stages `ingest` and `split`: from sources to the files that training and evaluation read.

Both fill `out` at once: they write next to it and rename, so a folder that exists is complete. The
bytes depend on content and settings only.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.data.collect import Dataset, skip_warnings
from ftspec.data.files import new_folder, read_lines, write_document, write_lines
from ftspec.data.parts import Parts, divide
from ftspec.data.request import DataRequest
from ftspec.data.rows import EvalQuery, Evaluation, Progress, Row
from ftspec.data.source_facts import source_facts
from ftspec.data.sources import content_digest, open_sources, overall_digest
from ftspec.data.survey import counts, read_dataset
from ftspec.diagnostics.codes import ARTIFACT_DAMAGED, SOURCE_NOT_FOUND, STALE_PLAN
from ftspec.diagnostics.model import Diagnostics
from ftspec.store.digests import DigestCache

_ROW_FIELDS = ("query_id", "query", "positive_id", "positive", "label", "score", "group")


def ingest(
    request: DataRequest,
    out: Path,
    *,
    cache: Path | None = None,
    expected_digest: str | None = None,
    on_progress: Progress | None = None,
) -> tuple[Path | None, Diagnostics]:
    """Write rows.jsonl, report.json and, for a given evaluation, evaluation/ into the new folder `out`.

    With `expected_digest` (`DataFacts.digest` of the plan), sources that have moved since are FTS602.
    Progress is counted in files. After a survey in the same process nothing is read again.
    """
    sources, found = open_sources(request)
    if sources is None:
        return None, found
    try:
        with DigestCache(cache) as known:
            digests = [content_digest(source, known) for source in sources]
    except OSError as error:
        found.add(SOURCE_NOT_FOUND, f"{error.filename}: {error.strerror}")
        return None, found
    if expected_digest not in (None, overall_digest(digests)):
        found.add(STALE_PLAN, "the data sources have other content than when the plan was made")
        return None, found
    dataset = read_dataset(request, sources, digests, found, on_progress)
    if dataset is None:
        return None, found
    if on_progress is not None:
        total = sum(len(source.files) for source in sources)
        on_progress(total, total, "files")
    found.extend(skip_warnings(dataset.sources))
    with new_folder(out) as folder:
        write_lines(folder / "rows.jsonl", map(_row_object, dataset.rows))
        if dataset.evaluation is not None:
            _write_evaluation(folder / "evaluation", dataset.evaluation)
        report = {
            "sources": [asdict(source) for source in dataset.sources],
            "rows": len(dataset.rows),
            "duplicates_removed": dataset.duplicates_removed,
            "filtered_out": dataset.filtered_out,
        }
        write_document(folder / "report.json", report)
    return out, found


def split(request: DataRequest, ingested: Path, out: Path) -> tuple[Path | None, Diagnostics]:
    """Write train.jsonl, test/, validation/ (where asked for) and report.json into the new folder `out`."""
    found = Diagnostics()
    try:
        dataset = read_ingested(ingested)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found.add(ARTIFACT_DAMAGED, f"{ingested}: {error}")
        return None, found
    parts, more = divide(dataset, request.split, request.limit)
    found.extend(more)
    if parts is None:
        return None, found
    with new_folder(out) as folder:
        write_lines(folder / "train.jsonl", _train_objects(parts))
        _write_evaluation(folder / "test", parts.test)
        if parts.validation is not None:
            _write_evaluation(folder / "validation", parts.validation)
        report = counts(dataset, parts)
        report["sources"] = [asdict(source) for source in dataset.sources]
        report["class_names"] = parts.classes
        write_document(folder / "report.json", report)
    return out, found


def read_ingested(folder: Path) -> Dataset:
    """The dataset that `ingest` wrote. Raises OSError, ValueError, KeyError or TypeError if damaged."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    sources = tuple(source_facts(source) for source in report["sources"])
    given = folder / "evaluation"
    return Dataset(
        rows=tuple(map(_row, read_lines(folder / "rows.jsonl"))),
        evaluation=read_evaluation(given) if given.is_dir() else None,
        sources=sources,
        duplicates_removed=report["duplicates_removed"],
        filtered_out=report["filtered_out"],
    )


def read_evaluation(folder: Path) -> Evaluation:
    """queries.jsonl, corpus.jsonl and qrels.jsonl of a folder."""
    return Evaluation(
        queries=tuple(
            EvalQuery(id=item["id"], text=item["text"], slices=tuple(sorted(item["slices"].items())))
            for item in read_lines(folder / "queries.jsonl")
        ),
        documents=tuple((item["id"], item["text"]) for item in read_lines(folder / "corpus.jsonl")),
        grades={
            (item["query_id"], item["document_id"]): item["grade"]
            for item in read_lines(folder / "qrels.jsonl")
        },
    )


def _write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    folder.mkdir()
    write_lines(
        folder / "queries.jsonl",
        ({"id": query.id, "text": query.text, "slices": dict(query.slices)} for query in evaluation.queries),
    )
    write_lines(folder / "corpus.jsonl", ({"id": id, "text": text} for id, text in evaluation.documents))
    write_lines(
        folder / "qrels.jsonl",
        (
            {"query_id": query, "document_id": document, "grade": grade}
            for (query, document), grade in sorted(evaluation.grades.items())
        ),
    )


def _train_objects(parts: Parts) -> Iterator[dict[str, Any]]:
    """Rows for the loss. A class is numbered by the order of all class names; its name stays beside."""
    numbers = {name: number for number, name in enumerate(parts.classes)}
    for row in parts.train:
        item = _row_object(row)
        for name in ("group", "source", "grade", "slices"):
            item.pop(name, None)
        if row.positive is None and row.label is not None:
            item["label"], item["class"] = numbers[str(row.label)], str(row.label)
        item["judged"] = parts.judged.get(row.query_id, ())
        yield item


def _row_object(row: Row) -> dict[str, Any]:
    """A row as JSON; keys are absent where the role is."""
    item: dict[str, Any] = {"source": row.source}
    for name in _ROW_FIELDS:
        if (value := getattr(row, name)) is not None:
            item[name] = value
    if row.negatives:
        item["negatives"] = row.negatives
    if row.slices:
        item["slices"] = dict(row.slices)
    if row.grade != 1:
        item["grade"] = row.grade
    return item


def _row(item: dict[str, Any]) -> Row:
    fields = dict(item)
    fields["negatives"] = tuple(item.get("negatives", ()))
    fields["slices"] = tuple(sorted(item.get("slices", {}).items()))
    return Row(**fields)
