"""Ingest of text: read every source, deduplicate, and give each row an id of its own."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ftspec.data.collect import EXAMPLES, first_of, report_faults
from ftspec.data.distractors import words_of
from ftspec.data.llm_request import LlmRequest
from ftspec.data.llm_rows import LlmRow
from ftspec.data.llm_sources import TextSource, content_id, open_table_text
from ftspec.data.raft_source import RaftSource, open_raft
from ftspec.data.rows import Progress, RowFault
from ftspec.diagnostics.codes import SOURCE_EMPTY
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.plan.facts import SourceFacts
from ftspec.plan.llm_data import RaftFacts
from ftspec.store.digests import DigestCache

_EXAMPLE_CHARS = 200
_TOLD = 500  # rows between reports of progress


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmDataset:
    """Everything that was read. `evaluation` is None where the evidence is held out of `rows`."""

    rows: tuple[LlmRow, ...]
    evaluation: tuple[LlmRow, ...] | None
    sources: tuple[SourceFacts, ...]  # those of training first
    duplicates_removed: int
    raft: RaftFacts | None


def open_text_sources(request: LlmRequest) -> tuple[tuple[TextSource, ...] | None, Diagnostics]:
    """The training sources, then those of the evaluation. Every file that is missing is named."""
    found = Diagnostics()
    opened: list[TextSource] = []
    for index, plan in enumerate(request.sources):
        try:
            if plan.type == "raft":
                opened.append(open_raft(plan, request.folder, index, request.slices, request.synth))
            else:
                opened.append(open_table_text(plan, request.folder, index, request.slices))
        except FtspecError as error:
            found.extend(_about(each, request, index) for each in error.diagnostics)
    return (None if found.has_errors else tuple(opened)), found


def source_digests(
    request: LlmRequest, sources: tuple[TextSource, ...], known: DigestCache
) -> tuple[list[str] | None, Diagnostics]:
    """ "sha256:…" of each source: the bytes of its files, how they are read, and what a model wrote for it.

    A file keeps its digest when it is moved. Raises OSError as `open` does.
    """
    found = Diagnostics()
    digests: list[str] = []
    for index, source in enumerate(sources):
        try:
            document = {
                "settings": source.settings,
                "files": [known.sha256(file.path) for file in source.files],
                "synthetic": source.synthetic_digest(),
            }
        except FtspecError as error:
            found.extend(_about(each, request, index) for each in error.diagnostics)
            continue
        text = json.dumps(document, sort_keys=True, ensure_ascii=False)
        digests.append("sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
    return (None if found.has_errors else digests), found


def source_place(request: LlmRequest, index: int) -> tuple[str | int, ...]:
    """Where the spec names the source: those of training are counted first."""
    count = len(request.train)
    return ("data", "train", index) if index < count else ("data", "evaluation", index - count)


def _about(found: Diagnostic, request: LlmRequest, index: int) -> Diagnostic:
    """A finding about a source, which itself only names a key of it, such as `roles.messages`."""
    raft = request.sources[index].raft is not None
    return replace(
        found, about=(*source_place(request, index), *(found.about or (() if raft else ("path",))))
    )


def collect_text(
    request: LlmRequest,
    sources: tuple[TextSource, ...],
    digests: list[str],
    on_progress: Progress | None = None,
) -> tuple[LlmDataset | None, Diagnostics]:
    """Read all sources. With `on_error: fail` each bad row is an error, the first 20 of them shown."""
    found = Diagnostics()
    read: list[list[LlmRow]] = []
    facts: list[SourceFacts] = []
    shown = 0
    for index, source in enumerate(sources):
        rows: list[LlmRow] = []
        faults: list[RowFault] = []
        try:
            for item in source.rows():
                if isinstance(item, RowFault):
                    faults.append(item)
                else:
                    rows.append(item)
                if on_progress is not None and (len(rows) + len(faults)) % _TOLD == 0:
                    on_progress(index, len(sources), "sources")
        except FtspecError as error:
            found.extend(_about(each, request, index) for each in error.diagnostics)
            shown = report_faults(faults, shown, found) if request.on_error == "fail" else shown
            continue
        if on_progress is not None:
            on_progress(index + 1, len(sources), "sources")
        if faults and request.on_error == "fail":
            shown = report_faults(faults, shown, found)
        elif not rows:
            found.add(
                SOURCE_EMPTY,
                f"`{source.label}`: {len(faults)} rows skipped, none left"
                if faults
                else f"`{source.label}` is empty",
                help=first_of(faults) or "name another source, or fill it",
                about=source_place(request, index),
            )
        read.append(rows)
        facts.append(
            SourceFacts(
                label=source.label,
                type=str(source.settings["type"]),
                digest=digests[index],
                files=len(source.files),
                rows=len(rows),
                skipped=len(faults),
                skip_examples=tuple(str(fault) for fault in faults[:EXAMPLES]),
                columns=source.columns(),
            )
        )
    if found.has_errors:
        return None, found
    count = len(request.train)
    ids = _Ids(several=len(sources) > 1)
    rows_kept, removed = _clean(_joined(read[:count]), ids, deduplicate=request.filters.deduplicate)
    evaluation = None
    if request.evaluation:
        evaluation, more = _clean(_joined(read[count:]), ids, deduplicate=request.filters.deduplicate)
        removed += more
    return (
        LlmDataset(
            rows=rows_kept,
            evaluation=evaluation,
            sources=tuple(facts),
            duplicates_removed=removed,
            raft=_raft_facts((*rows_kept, *(evaluation or ())), sources),
        ),
        found,
    )


class _Ids:
    """One id per row of the request: given or by content, told apart by source and by count."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._used: dict[str, int] = {}

    def of(self, row: LlmRow) -> str:
        mark = f"{row.source}/" if self._several else ""
        id = mark + (row.id or content_id(row))
        count = self._used[id] = self._used.get(id, 0) + 1
        return id if count == 1 else f"{id}#{count}"


def _joined(parts: list[list[LlmRow]]) -> Iterable[LlmRow]:
    return (row for part in parts for row in part)


def _clean(rows: Iterable[LlmRow], ids: _Ids, *, deduplicate: bool) -> tuple[tuple[LlmRow, ...], int]:
    """Rows once each, with their ids; and how many were left out. Equal are rows that ask and answer the
    same (RAFT rows: about the same oracle), whatever documents stand beside."""
    kept: list[LlmRow] = []
    seen: set[str] = set()
    removed = 0
    for row in rows:
        if deduplicate:
            if row.content_key in seen:
                removed += 1
                continue
            seen.add(row.content_key)
        kept.append(replace(row, id=ids.of(row)))
    return tuple(kept), removed


def _raft_facts(rows: tuple[LlmRow, ...], sources: tuple[TextSource, ...]) -> RaftFacts | None:
    opened = [source for source in sources if isinstance(source, RaftSource)]
    made = [(row, row.raft) for row in rows if row.raft is not None]
    if not opened:
        return None
    shares: list[float] = []
    for _, raft in made:
        wanted = set(words_of(raft.question))
        others = [words_of(each.text) for each in raft.documents if each.id != raft.oracle_id]
        shares.extend(len(wanted.intersection(words)) / max(1, len(wanted)) for words in others)
    plans = [source.plan for source in opened]
    return RaftFacts(
        documents=sum(source.counts.documents for source in opened),
        questions=len(made),
        oracle_present=sum(raft.present for _, raft in made),
        refusals=sum(raft.refuse for _, raft in made),
        distractors=max(plan.distractors for plan in plans),
        retriever=", ".join(sorted({plan.retriever for plan in plans})),
        answers=", ".join(sorted({plan.answers for plan in plans})),
        not_written=sum(source.counts.not_written for source in opened),
        answers_not_found=sum(source.counts.answers_not_found for source in opened),
        random_distractors=sum(source.counts.random_distractors for source in opened),
        mean_overlap=round(sum(shares) / len(shares), 6) if shares else 0.0,
        examples=tuple(
            f"{_short(raft.question)} → {_short(row.completion)}" for row, raft in made[:EXAMPLES]
        ),
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXAMPLE_CHARS else line[: _EXAMPLE_CHARS - 1] + "…"
