"""Ingest: read every source, filter, deduplicate, and give equal texts one id."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ftspec.data.request import DataRequest
from ftspec.data.rows import Evaluation, Progress, Row, RowFault, Source, normalise
from ftspec.data.sources import about_source, source_key
from ftspec.diagnostics.codes import BAD_ROW, ROWS_SKIPPED, SOURCE_EMPTY
from ftspec.diagnostics.model import Diagnostics, FtspecError, Severity, Span
from ftspec.plan.embedding import Filters
from ftspec.plan.embedding_stages import VERSIONS
from ftspec.plan.facts import SourceFacts

INGEST_VERSION = VERSIONS["ingest"]  # raised there when the same sources give other rows
MAX_FAULTS_SHOWN = 20
EXAMPLES = 3  # faults of a source that its facts keep
_SKIP = "mend the rows; or `data.on_error: skip` leaves them out, and the plan counts them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Everything that was read. `evaluation` is None where the evidence is held out of `rows`."""

    rows: tuple[Row, ...]
    evaluation: Evaluation | None
    sources: tuple[SourceFacts, ...]  # those of training first
    duplicates_removed: int
    filtered_out: int


def collect(
    request: DataRequest,
    sources: tuple[Source, ...],
    digests: list[str],
    on_progress: Progress | None = None,
) -> tuple[Dataset | None, Diagnostics]:
    """Read all sources. With `on_error: fail` each bad row is an error, the first 20 of them shown."""
    found = Diagnostics()
    num_train = len(request.train)
    rows: list[Row] = []
    evaluations: list[Evaluation] = []
    facts: list[SourceFacts] = []
    shown = 0
    done = _counter(sum(len(source.files) for source in sources), on_progress)
    for index, source in enumerate(sources):
        faults: list[RowFault] = []
        before = len(rows)
        try:
            if index < num_train:
                for item in source.rows(done):
                    if isinstance(item, Row):
                        rows.append(item)
                    else:
                        faults.append(item)
                count = len(rows) - before
            else:
                evaluation, skipped = source.evaluation(done)
                evaluations.append(evaluation)
                faults.extend(skipped)
                count = len(evaluation.queries)
        except FtspecError as error:
            found.extend(about_source(each, request, index) for each in error.diagnostics)
            continue
        place = (*source_key(request, index), "path")
        if request.on_error == "fail" and not source.skips_faults:
            shown = report_faults(faults, shown, found)
        elif count == 0:
            found.add(
                SOURCE_EMPTY,
                f"`{source.label}`: {len(faults)} rows skipped, none left",
                help=first_of(faults),
                about=place,
            )
        if count == 0 and not faults:
            found.add(
                SOURCE_EMPTY,
                f"`{source.label}` is empty",
                help="name another source, or fill it",
                about=place,
            )
        facts.append(
            SourceFacts(
                label=source.label,
                type=str(source.settings["type"]),
                digest=digests[index],
                files=len(source.files),
                rows=count,
                skipped=len(faults),
                skip_examples=tuple(str(fault) for fault in faults[:EXAMPLES]),
                columns=source.columns(),
            )
        )
    if found.has_errors:
        return None, found
    kept, filtered_out, duplicates = _clean(rows, request.filters, several=num_train > 1)
    if not kept:
        found.add(
            SOURCE_EMPTY,
            f"the filters leave none of {len(rows)} training rows",
            help="loosen `data.filters`",
            about=("data", "filters"),
        )
        return None, found
    return (
        Dataset(
            rows=kept,
            evaluation=_merge(evaluations) if request.evaluation else None,
            sources=tuple(facts),
            duplicates_removed=duplicates,
            filtered_out=filtered_out,
        ),
        found,
    )


def skip_warnings(sources: tuple[SourceFacts, ...]) -> Diagnostics:
    """What was left out, from facts alone: a note for files of a code base, a warning for rows."""
    found = Diagnostics()
    for source in sources:
        if source.skipped:
            unit = "files" if source.type == "code" else "rows"
            found.add(
                ROWS_SKIPPED,
                f"`{source.label}`: {source.skipped} {unit} skipped, first {source.skip_examples[0]}",
                severity=Severity.NOTE if source.type == "code" else None,
            )
    return found


def _counter(total: int, on_progress: Progress | None) -> Callable[[], None]:
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if on_progress is not None:
            on_progress(min(count, total), total, "files")

    return done


def first_of(faults: list[RowFault]) -> str:
    return f"the first: {faults[0]}" if faults else ""


def report_faults(faults: list[RowFault], shown: int, found: Diagnostics) -> int:
    """Each fault as an error with its place, at most 20 in all; returns how many were shown by now."""
    here = faults[: max(0, MAX_FAULTS_SHOWN - shown)]
    for fault in here:
        end = len(fault.excerpt) + 1
        found.add(
            BAD_ROW,
            fault.reason if fault.line else str(fault),
            primary=Span(
                path=fault.file,
                line=fault.line,
                column=1,
                end_line=fault.line,
                end_column=end,
                excerpt=fault.excerpt,
            )
            if fault.line
            else None,
            help=_SKIP if fault is faults[-1] else "",
        )
    hidden = len(faults) - len(here)
    if hidden > 0:
        found.add(
            BAD_ROW,
            f"{faults[0].file}: {hidden} more bad rows, {len(faults)} in all",
            help=_SKIP,
        )
    return shown + len(here)


def _clean(rows: list[Row], filters: Filters, *, several: bool) -> tuple[tuple[Row, ...], int, int]:
    """Rows that pass the filters, once each, with one id per text; how many went by each rule.

    Rows are the same when query, positive and negatives are (and, for labelled classes, the class).
    Ids given in more than one source are told apart by the position of the source.
    """
    query_ids: dict[str, str] = {}
    document_ids: dict[str, str] = {}
    seen: set[tuple[object, ...]] = set()
    kept: list[Row] = []
    filtered_out = duplicates = 0
    for row in rows:
        if not _passes(row, filters):
            filtered_out += 1
            continue
        query = normalise(row.query)
        positive = None if row.positive is None else normalise(row.positive)
        if filters.deduplicate:
            key = (
                query,
                positive,
                tuple(map(normalise, row.negatives)),
                row.label if positive is None else None,
            )
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
        mark = f"{row.source}/" if several else ""
        kept.append(
            replace(
                row,
                query_id=query_ids.setdefault(query, mark + row.query_id),
                positive_id=None
                if positive is None
                else document_ids.setdefault(positive, f"{mark}{row.positive_id}"),
            )
        )
    return tuple(kept), filtered_out, duplicates


def _passes(row: Row, filters: Filters) -> bool:
    if not _within(row.query, filters.min_query_chars, filters.max_query_chars):
        return False
    documents = (*([] if row.positive is None else [row.positive]), *row.negatives)
    return all(_within(text, filters.min_document_chars, filters.max_document_chars) for text in documents)


def _within(text: str, low: int, high: int | None) -> bool:
    return low <= len(text) and (high is None or len(text) <= high)


def _merge(evaluations: list[Evaluation]) -> Evaluation:
    if len(evaluations) == 1:
        return evaluations[0]
    return Evaluation(
        queries=tuple(
            replace(query, id=f"{n}/{query.id}")
            for n, each in enumerate(evaluations)
            for query in each.queries
        ),
        documents=tuple(
            (f"{n}/{id}", text) for n, each in enumerate(evaluations) for id, text in each.documents
        ),
        grades={
            (f"{n}/{query}", f"{n}/{document}"): grade
            for n, each in enumerate(evaluations)
            for (query, document), grade in each.grades.items()
        },
    )
