"""Survey: the facts of the data that a plan rests on, from a cache when no byte has moved."""

import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.data.collect import INGEST_VERSION, Dataset, collect, skip_warnings
from ftspec.data.lengths import text_lengths
from ftspec.data.parts import SPLIT_VERSION, Parts, divide
from ftspec.data.request import DataRequest
from ftspec.data.rows import Evaluation, Progress, Row, Source
from ftspec.data.source_facts import source_facts
from ftspec.data.sources import content_digest, open_sources, overall_digest
from ftspec.diagnostics.codes import MODEL_NOT_READABLE, SOURCE_NOT_FOUND
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.facts import EmbeddingDataFacts, TextLengths
from ftspec.store.digests import DigestCache

SURVEY_VERSION = 4  # raise it when the same data and settings give other facts

_last: tuple[str, Dataset] | None = None  # the dataset read last in this process, for a following ingest


def survey(
    request: DataRequest,
    tokenizer_json: Path | None,
    max_seq_length: int,
    cache: Path,
    *,
    on_progress: Progress | None = None,
) -> tuple[EmbeddingDataFacts | None, Diagnostics]:
    """What ingest and split will make of the sources.

    Cached at `cache`/survey/<hash>.json by content and settings: a warm survey stats the files and
    reads none. A cache that cannot be written or read costs time only. Findings: FTS302 for a model
    without a usable tokenizer.json, FTS701 to FTS704, FTS706, and FTS708 for rows left out.
    """
    if tokenizer_json is None or not tokenizer_json.is_file():
        found = Diagnostics()
        where = "" if tokenizer_json is None else f": there is no {tokenizer_json}"
        found.add(MODEL_NOT_READABLE, f"texts cannot be counted in tokens without tokenizer.json{where}")
        return None, found
    sources, found = open_sources(request)
    if sources is None:
        return None, found
    with DigestCache(cache) as known:
        try:
            digests = [content_digest(source, known) for source in sources]
            tokenizer = known.sha256(tokenizer_json)
        except OSError as error:
            found.add(SOURCE_NOT_FOUND, f"{error.filename}: {error.strerror}")
            return None, found
    file = cache / "survey" / f"{_key(request, sources, digests, tokenizer, max_seq_length)}.json"
    facts = _load(file)
    if facts is None:
        dataset = read_dataset(request, sources, digests, found, on_progress)
        parts = None
        if dataset is not None:
            parts, more = divide(dataset, request.split, request.limit)
            found.extend(more)
        if dataset is None or parts is None:
            return None, found
        try:
            lengths = _lengths(parts, tokenizer_json, max_seq_length, request)
        except ValueError as error:
            found.add(MODEL_NOT_READABLE, str(error))
            return None, found
        facts = EmbeddingDataFacts(
            **counts(dataset, parts), query_lengths=lengths[0], document_lengths=lengths[1]
        )
        _save(file, facts)
    found.extend(skip_warnings(facts.sources))
    return facts, found


def read_dataset(
    request: DataRequest,
    sources: tuple[Source, ...],
    digests: list[str],
    found: Diagnostics,
    on_progress: Progress | None = None,
) -> Dataset | None:
    """All rows of the sources. The dataset read last stays in memory until another one is read."""
    global _last  # noqa: PLW0603 - one bounded memo per process
    key = _hash({"settings": _settings(request), "digests": digests, "labels": _labels(sources)})
    if _last is not None and _last[0] == key:
        return _last[1]
    dataset, more = collect(request, sources, digests, on_progress)
    found.extend(more)
    if dataset is not None:
        _last = (key, dataset)
    return dataset


def counts(dataset: Dataset, parts: Parts) -> dict[str, Any]:
    """The fields of EmbeddingDataFacts that need no tokenizer."""
    rows = parts.train
    slices = {name for query in parts.test.queries for name, _ in query.slices}
    test_groups = {value for query in parts.test.queries for name, value in query.slices if name == "group"}
    return {
        "digest": overall_digest([source.digest for source in dataset.sources]),
        "sources": dataset.sources,
        "roles": _roles(rows),
        "num_negatives": min(len(row.negatives) for row in rows),
        "train_rows": len(rows),
        "validation_queries": 0 if parts.validation is None else len(parts.validation.queries),
        "validation_documents": 0 if parts.validation is None else len(parts.validation.documents),
        "test_queries": len(parts.test.queries),
        "test_documents": len(parts.test.documents),
        "split_by": parts.mode,
        "train_groups": len({row.group for row in rows if row.group is not None}),
        "test_groups": len(test_groups),
        "distinct_queries": len({row.query_id for row in rows}),
        "distinct_positives": len({row.positive_id for row in rows if row.positive_id is not None}),
        "duplicates_removed": dataset.duplicates_removed,
        "filtered_out": dataset.filtered_out,
        "leaked_queries": parts.leakage.queries,
        "leaked_positives": parts.leakage.positives,
        "leak_examples": parts.leakage.examples,
        "slices": tuple(sorted(slices)),
        "train_rows_available": parts.available,
        "overlap_dropped": parts.dropped,
        "relevance": parts.relevance,
        "exclude_self": _queries_are_documents(parts.test),
        "classes": sum(1 for count in Counter(_classes(rows)).values() if count > 1),
    }


def _queries_are_documents(test: Evaluation) -> bool:
    """The text of some query stands in the corpus without being judged relevant to it. Equal ids mean
    nothing: queries and documents are often numbered apart."""
    texts: dict[str, list[str]] = {}
    for id, text in test.documents:
        texts.setdefault(text, []).append(id)
    return any(
        test.grades.get((query.id, document), 0) == 0
        for query in test.queries
        for document in texts.get(query.text, ())
    )


def _classes(rows: tuple[Row, ...]) -> list[str]:
    return [str(row.label) for row in rows if row.positive is None and row.label is not None]


def _roles(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Roles that every training row has; "negatives" if all have one."""
    present = [("query", True), ("positive", all(row.positive is not None for row in rows))]
    present.append(("negatives", all(row.negatives for row in rows)))
    present.append(("label", all(row.label is not None for row in rows)))
    present.append(("score", all(row.score is not None for row in rows)))
    present.append(("group", all(row.group is not None for row in rows)))
    return tuple(role for role, there in present if there)


def _lengths(
    parts: Parts, tokenizer_json: Path, max_seq_length: int, request: DataRequest
) -> tuple[TextLengths, TextLengths]:
    def measure(texts: list[str]) -> TextLengths:
        return text_lengths(
            tokenizer_json,
            texts,
            max_seq_length=max_seq_length,
            batch_size=request.global_batch_size,
            seed=request.split.seed,
        )

    documents = [text for row in parts.train for text in (row.positive, *row.negatives) if text is not None]
    return measure([row.query for row in parts.train]), measure(documents)


def _labels(sources: tuple[Source, ...]) -> list[str]:
    return [source.label for source in sources]


def _settings(request: DataRequest) -> dict[str, Any]:
    """Settings of ingest beside what a source's content digest covers (format, roles, file names)."""
    return {
        "num_train": len(request.train),
        "filters": asdict(request.filters),
        "on_error": request.on_error,
        "slices": sorted(request.slices),
    }


def _key(
    request: DataRequest,
    sources: tuple[Source, ...],
    digests: list[str],
    tokenizer: str,
    max_seq_length: int,
) -> str:
    return _hash(
        {
            "versions": [SURVEY_VERSION, INGEST_VERSION, SPLIT_VERSION],
            "settings": _settings(request),
            "split": asdict(request.split),
            "limit": asdict(request.limit),
            "labels": _labels(sources),
            "digests": digests,
            "tokenizer": tokenizer,
            "max_seq_length": max_seq_length,
            "global_batch_size": request.global_batch_size,
        }
    )[:40]


def _hash(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _load(file: Path) -> EmbeddingDataFacts | None:
    """Facts of an earlier survey; None when there are none, or they have another shape."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return facts_from_json(document) if isinstance(document, dict) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def facts_from_json(document: dict[str, Any]) -> EmbeddingDataFacts:
    """The inverse of `asdict`. Raises TypeError or KeyError for another shape."""
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
    }
    fields["sources"] = tuple(source_facts(source) for source in document["sources"])
    fields["query_lengths"] = TextLengths(**document["query_lengths"])
    fields["document_lengths"] = TextLengths(**document["document_lengths"])
    return EmbeddingDataFacts(**fields)


def _save(file: Path, facts: EmbeddingDataFacts) -> None:
    text = json.dumps(asdict(facts), sort_keys=True, ensure_ascii=False, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).replace(file)
    except OSError:
        return  # a read-only project can still be planned
