"""Documents with queries that a language model wrote: read from what `ftspec synth` stored, never asked here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftspec.data.paths import require, resolve_path
from ftspec.data.relevance import evaluation_of
from ftspec.data.rows import Evaluation, FileDone, Row, RowFault, SourceFile, text_id
from ftspec.data.table_files import format_of, read_records
from ftspec.diagnostics.codes import MISSING_COLUMN
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.plan.codec import hash_of
from ftspec.plan.embedding import SourcePlan
from ftspec.plan.synth import QUERIES, SynthRequest
from ftspec.synth.stored import SynthRow, missing_diagnostic, stored_questions


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentsSource:
    """`documents` and `written` are read when the source is opened: what was written is part of its content."""

    label: str
    path: Path
    documents: tuple[tuple[str, str], ...]  # (id, text)
    faults: tuple[RowFault, ...]
    written: tuple[SynthRow, ...]
    index: int
    skips_faults: bool = False

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (SourceFile(name=self.path.name, path=self.path),)

    @property
    def settings(self) -> dict[str, object]:
        written = [[row.document_id, row.question] for row in self.written]
        return {"type": "documents", "written": hash_of(written)}

    def columns(self) -> tuple[str, ...]:
        return ()

    def rows(self, done: FileDone) -> Iterator[Row | RowFault]:
        yield from self.faults
        texts = dict(self.documents)
        for row in self.written:
            text = texts[row.document_id]
            yield Row(
                query_id=text_id("q", row.question),
                query=row.question,
                positive=text,
                positive_id=text_id("d", text),
                source=self.index,
            )
        done()

    def evaluation(self, done: FileDone) -> tuple[Evaluation, tuple[RowFault, ...]]:
        return evaluation_of(self.rows(done))


def open_documents(plan: SourcePlan, folder: Path, index: int, synth: Path) -> DocumentsSource:
    """Raises FtspecError: FTS701 for the file, FTS704 for its columns, FTS750 while queries are missing."""
    path = resolve_path(plan.path, folder)
    require(path, plan.path, folder=False)
    documents, faults = read_documents(path, plan)
    assert plan.synthesize is not None
    request = SynthRequest(task=QUERIES, settings=plan.synthesize)
    written, missing = stored_questions(request, documents, synth)
    if missing:
        raise FtspecError(missing_diagnostic("", missing, about=("synthesize",)))
    return DocumentsSource(
        label=plan.path,
        path=path,
        documents=documents,
        faults=faults,
        written=written,
        index=index,
    )


def read_documents(path: Path, plan: SourcePlan) -> tuple[tuple[tuple[str, str], ...], tuple[RowFault, ...]]:
    """(id, text) of each usable row, in the order of the file; ids are those of the file, or of the text."""
    text_column, id_column = str(plan.roles["text"]), plan.roles.get("id")
    documents: dict[str, str] = {}
    faults: list[RowFault] = []
    columns: set[str] = set()
    for record in read_records(path, format_of(path, plan.format)):
        value = record.value
        if isinstance(value, str):
            faults.append(RowFault(file=plan.path, line=record.line, reason=value, excerpt=record.excerpt))
            continue
        columns.update(value)
        text = value.get(text_column)
        if not isinstance(text, str) or not text.strip():
            reason = f"`{text_column}` is missing, empty or no text"
            faults.append(RowFault(file=plan.path, line=record.line, reason=reason, excerpt=record.excerpt))
            continue
        key = str(value.get(str(id_column))) if id_column is not None else text_id("d", text)
        if documents.setdefault(key, text) != text:
            reason = f"the id `{key}` stands for another text before"
            faults.append(RowFault(file=plan.path, line=record.line, reason=reason, excerpt=record.excerpt))
    for role in ("text", "id"):
        column = plan.roles.get(role)
        if columns and column is not None and column not in columns:
            raise FtspecError(
                Diagnostic(
                    code=MISSING_COLUMN,
                    detail=f"{plan.path}: no column `{column}` for the role `{role}`; "
                    f"the file has {', '.join(f'`{name}`' for name in sorted(columns)[:20])}",
                    help=f"set `roles.{role}` to one of them",
                    about=("roles", role),
                )
            )
    return tuple(documents.items()), tuple(faults)
