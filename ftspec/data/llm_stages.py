"""The stages `ingest`, `split` and `tokenize` of an LLM run: from sources to the tokens that all backends read.

Each fills `out` at once: it writes next to it and renames, so a folder that exists is complete. The bytes
depend on content and settings only.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.data.collect import skip_warnings
from ftspec.data.files import new_folder, read_lines, write_document, write_lines
from ftspec.data.llm_collect import LlmDataset, open_text_sources
from ftspec.data.llm_parts import divide_text
from ftspec.data.llm_report import side_report
from ftspec.data.llm_request import LlmRequest
from ftspec.data.llm_rows import LlmRow, row_from_object, row_object
from ftspec.data.llm_sides import resolve_render
from ftspec.data.llm_survey import make_sides, read_digests, read_text_dataset, split_counts, token_counts
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.data.rows import Progress
from ftspec.data.source_facts import source_facts
from ftspec.data.sources import overall_digest
from ftspec.diagnostics.codes import ARTIFACT_DAMAGED, STALE_PLAN
from ftspec.diagnostics.model import Diagnostics, FtspecError
from ftspec.plan.llm_data import RaftFacts

_DAMAGE = (OSError, ValueError, KeyError, TypeError)  # what reading a folder of ours may raise


def ingest_llm(
    request: LlmRequest,
    out: Path,
    *,
    cache: Path | None = None,
    expected_digest: str | None = None,
    on_progress: Progress | None = None,
) -> tuple[Path | None, Diagnostics]:
    """Write rows.jsonl, report.json and, for given evaluation data, evaluation.jsonl into the new folder `out`.

    With `expected_digest` (`LlmDataFacts.digest` of the plan), sources that have moved since are FTS602.
    After a survey in the same process nothing is read again.
    """
    sources, found = open_text_sources(request)
    if sources is None:
        return None, found
    digests, _, more = read_digests(request, sources, cache)
    found.extend(more)
    if digests is None:
        return None, found
    if expected_digest not in (None, overall_digest(digests)):
        found.add(STALE_PLAN, "the data sources have other content than when the plan was made")
        return None, found
    dataset = read_text_dataset(request, sources, digests, found, on_progress)
    if dataset is None:
        return None, found
    found.extend(skip_warnings(dataset.sources))
    with new_folder(out) as folder:
        _write_rows(folder / "rows.jsonl", dataset.rows)
        if dataset.evaluation is not None:
            _write_rows(folder / "evaluation.jsonl", dataset.evaluation)
        report = {
            "sources": [asdict(source) for source in dataset.sources],
            "rows": len(dataset.rows),
            "evaluation_rows": len(dataset.evaluation or ()),
            "duplicates_removed": dataset.duplicates_removed,
            "raft": None if dataset.raft is None else asdict(dataset.raft),
        }
        write_document(folder / "report.json", report)
    return out, found


def split_llm(request: LlmRequest, ingested: Path, out: Path) -> tuple[Path | None, Diagnostics]:
    """Write train.jsonl, test.jsonl, validation.jsonl (where asked for) and report.json into `out`."""
    found = Diagnostics()
    try:
        dataset = _read_ingested(ingested)
    except _DAMAGE as error:
        found.add(ARTIFACT_DAMAGED, f"{ingested}: {error}")
        return None, found
    parts, more = divide_text(dataset, request.split, request.limit)
    found.extend(more)
    if parts is None:
        return None, found
    with new_folder(out) as folder:
        _write_rows(folder / "train.jsonl", parts.train)
        _write_rows(folder / "test.jsonl", parts.test)
        if parts.validation is not None:
            _write_rows(folder / "validation.jsonl", parts.validation)
        report = split_counts(dataset, parts)
        report["sources"] = [asdict(source) for source in dataset.sources]
        report["rows"] = {
            "train": len(parts.train),
            "validation": len(parts.validation or ()),
            "test": len(parts.test),
        }
        report["raft"] = None if dataset.raft is None else asdict(dataset.raft)
        write_document(folder / "report.json", report)
    return out, found


def tokenize_llm(
    request: LlmRequest, divided: Path, out: Path, *, on_progress: Progress | None = None
) -> tuple[Path | None, Diagnostics]:
    """Write train.jsonl, test.jsonl, validation.jsonl (where there is one) and report.json into `out`: tokens,
    masks and packed sequences, as every backend trains and scores them."""
    found = Diagnostics()
    try:
        train, test = (_read_rows(divided / f"{side}.jsonl") for side in ("train", "test"))
        held = divided / "validation.jsonl"
        validation = _read_rows(held) if held.is_file() else None
    except _DAMAGE as error:
        found.add(ARTIFACT_DAMAGED, f"{divided}: {error}")
        return None, found
    try:
        tokenizer = LlmTokenizer(request.base)
    except FtspecError as error:
        found.extend(error.diagnostics)
        return None, found
    render, more = resolve_render(request, tokenizer)
    found.extend(more)
    if render is None:
        return None, found
    sides, more = make_sides(
        request, train, validation, test, tokenizer, render, keep=True, on_progress=on_progress
    )
    found.extend(more)
    if sides is None:
        return None, found
    with new_folder(out) as folder:
        for name, side in sides.items():
            write_lines(folder / f"{name}.jsonl", (row.as_object() for row in side.rows))
        counted = token_counts(request, sides, test)
        report: dict[str, Any] = {
            name: asdict(value) if name.endswith("lengths") else value for name, value in counted.items()
        }
        report["max_seq_length"] = request.max_seq_length
        report["render"] = list(render)
        report["fixed_date"] = tokenizer.template is not None and tokenizer.template.tells_date
        report["sides"] = {name: side_report(side, tokenizer) for name, side in sides.items()}
        write_document(folder / "report.json", report)
    return out, found


def _write_rows(file: Path, rows: Iterable[LlmRow]) -> None:
    # Chat templates write objects in the order of their keys.
    write_lines(file, map(row_object, rows), sort_keys=False)


def _read_rows(file: Path) -> tuple[LlmRow, ...]:
    return tuple(map(row_from_object, read_lines(file)))


def _read_ingested(folder: Path) -> LlmDataset:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    given, raft = folder / "evaluation.jsonl", report["raft"]
    return LlmDataset(
        rows=_read_rows(folder / "rows.jsonl"),
        evaluation=_read_rows(given) if given.is_file() else None,
        sources=tuple(source_facts(source) for source in report["sources"]),
        duplicates_removed=report["duplicates_removed"],
        raft=None if raft is None else RaftFacts(**{**raft, "examples": tuple(raft["examples"])}),
    )
