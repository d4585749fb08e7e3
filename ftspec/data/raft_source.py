"""A RAFT source: its documents, its questions (of a file, or written by a model), and the rows of both."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ftspec.data.cells import RowError, text_of, texts_of, word_of
from ftspec.data.distractors import Distractors
from ftspec.data.llm_rows import LlmRow, RaftDocument
from ftspec.data.llm_sources import checked_records, grouped_slices, unique
from ftspec.data.paths import require, resolve_path
from ftspec.data.raft import NoSpanError, RaftQuestion, documents_needed, raft_row
from ftspec.data.rows import RowFault, SourceFile, text_id
from ftspec.data.table_files import Record, format_of, table_columns
from ftspec.diagnostics.codes import FEW_DOCUMENTS
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.plan.llm_data import LlmSource, RaftFile, RaftPlan
from ftspec.plan.synth import ANSWERS, COSMETIC, QUESTIONS, SynthRequest


@dataclass(slots=True)
class RaftCounts:
    """What `rows` found, once it has run."""

    documents: int = 0
    answers_not_found: int = 0
    not_written: int = 0
    random_distractors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSource:
    plan: RaftPlan
    documents: Path
    questions: Path | None
    synth: Path
    slices: tuple[str, ...]
    index: int
    counts: RaftCounts = field(default_factory=RaftCounts)

    @property
    def label(self) -> str:
        return (self.plan.questions or self.plan.documents).path

    @property
    def files(self) -> tuple[SourceFile, ...]:
        paths = [self.documents] if self.questions is None else [self.documents, self.questions]
        return tuple(SourceFile(name=path.name, path=path) for path in paths)

    @property
    def settings(self) -> dict[str, object]:
        plan: dict[str, object] = {
            each.name: getattr(self.plan, each.name) for each in fields(RaftPlan) if each.name not in _APART
        }
        if self.plan.synthesize is not None:
            written = asdict(self.plan.synthesize)
            plan["synthesize"] = {name: value for name, value in written.items() if name not in COSMETIC}
        files = [
            None if file is None else {"format": format_of(path, file.format), "roles": dict(file.roles)}
            for file, path in (
                (self.plan.documents, self.documents),
                (self.plan.questions, self.questions or self.documents),
            )
        ]
        return {"type": "raft", "files": files, **plan}

    def columns(self) -> tuple[str, ...]:
        """Of the questions, else of the documents."""
        plan, path = self.plan.documents, self.documents
        if self.plan.questions is not None and self.questions is not None:
            plan, path = self.plan.questions, self.questions
        return table_columns(path, format_of(path, plan.format))

    def synthetic_digest(self) -> str | None:
        """Of what a model wrote for this source; None where nothing is. Raises FtspecError as `rows` does."""
        if self.plan.synthesize is None:
            return None
        documents = {item.id: item for item in self._documents() if isinstance(item, RaftDocument)}
        questions = [item for item in self._asked(documents) if isinstance(item, RaftQuestion)]
        text = json.dumps(
            [(each.question, each.answers, each.document_id, each.completion) for each in questions],
            ensure_ascii=False,
        )
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def rows(self) -> Iterator[LlmRow | RowFault]:
        """Raises FtspecError: FTS701, FTS704, FTS715 for too few documents, FTS750 for what is not written."""
        documents: dict[str, RaftDocument] = {}
        for item in self._documents():
            if isinstance(item, RowFault):
                yield item
            else:
                documents[item.id] = item
        needed = documents_needed(self.plan)
        if len(documents) < needed:
            raise FtspecError(
                Diagnostic(
                    code=FEW_DOCUMENTS,
                    detail=f"{self.plan.documents.path}: {len(documents)} documents, "
                    f"{needed} are needed for {self.plan.distractors} distractors",
                    help=f"lower `distractors`, or add {needed - len(documents)} documents",
                    about=("distractors",),
                )
            )
        self.counts.documents = len(documents)
        distractors = Distractors(
            list(documents.values()), retriever=self.plan.retriever, seed=self.plan.seed
        )
        for asked in self._asked(documents):
            if isinstance(asked, RowFault):
                yield asked
                continue
            try:
                row, at_random = raft_row(
                    asked, documents[asked.document_id], distractors, self.plan, self.index
                )
            except RowError as fault:
                self.counts.answers_not_found += isinstance(fault, NoSpanError)
                yield RowFault(
                    file=self.label, line=asked.line, reason=str(fault), excerpt=asked.question[:160]
                )
                continue
            self.counts.random_distractors += at_random
            yield row

    def texts(self) -> tuple[list[RaftDocument | RowFault], list[RaftQuestion | RowFault]]:
        """Its documents, and the questions of its file if it has one: what a model is given to write from.

        Raises FtspecError: FTS701, FTS704.
        """
        documents = list(self._documents())
        if self.questions is None or self.plan.questions is None:
            return documents, []
        by_id = {item.id: item for item in documents if isinstance(item, RaftDocument)}
        return documents, list(self._of_file(self.plan.questions, self.questions, by_id))

    def _documents(self) -> Iterator[RaftDocument | RowFault]:
        yield from read_documents(self.plan.documents, self.documents)

    def _asked(self, documents: dict[str, RaftDocument]) -> Iterator[RaftQuestion | RowFault]:
        """Questions whose document is there, with their written answers where those are wanted."""
        asked: list[RaftQuestion] = []
        if self.questions is None:
            asked = self._synthetic(documents)
        else:
            assert self.plan.questions is not None
            for item in self._of_file(self.plan.questions, self.questions, documents):
                if isinstance(item, RowFault):
                    yield item
                else:
                    asked.append(item)
        yield from self._written(asked, documents) if self.plan.answers == "written" else asked

    def _of_file(
        self, file: RaftFile, path: Path, documents: dict[str, RaftDocument]
    ) -> Iterator[RaftQuestion | RowFault]:
        ids: set[str] = set()
        wanted = list(file.roles.items())
        for record in checked_records(
            path, format_of(path, file.format), wanted, file.path, ("questions", "roles")
        ):
            try:
                yield self._question(_value(record), record.line, file, documents, ids)
            except RowError as fault:
                yield _fault(file, record, fault)

    def _question(
        self,
        record: dict[str, Any],
        line: int,
        file: RaftFile,
        documents: dict[str, RaftDocument],
        ids: set[str],
    ) -> RaftQuestion:
        roles = file.roles
        document = word_of(record, roles["document"])
        if document not in documents:
            raise RowError(f"`{roles['document']}` names `{document}`, which is none of the documents")
        group = word_of(record, roles["group"]) if "group" in roles else None
        return RaftQuestion(
            question=text_of(record, roles["question"]),
            answers=texts_of(record, roles["answers"], empty=False),
            document_id=document,
            id=unique(word_of(record, roles["id"]), ids) if "id" in roles else "",
            group=group,
            slices=grouped_slices(record, self.slices, group),
            line=line,
        )

    def _synthetic(self, documents: dict[str, RaftDocument]) -> list[RaftQuestion]:
        from ftspec.synth.stored import missing_diagnostic, stored_questions

        assert self.plan.synthesize is not None, "a source without questions has them written"
        request = SynthRequest(task=QUESTIONS, settings=self.plan.synthesize)
        texts = [(document.id, document.text) for document in documents.values()]
        rows, missing = stored_questions(request, texts, self.synth)
        if missing:
            raise FtspecError(missing_diagnostic("", missing, about=("synthesize",)))
        return [
            RaftQuestion(question=row.question, answers=row.answers, document_id=row.document_id)
            for row in rows
        ]

    def _written(
        self, asked: list[RaftQuestion], documents: dict[str, RaftDocument]
    ) -> Iterator[RaftQuestion]:
        """Questions that an answer was written for; the others are counted."""
        from ftspec.synth.stored import AnswerItem, missing_diagnostic, stored_answers

        assert self.plan.synthesize is not None, "written answers are written by somebody"
        request = SynthRequest(task=ANSWERS, settings=self.plan.synthesize)
        items = [
            AnswerItem(
                question=each.question, document=documents[each.document_id].text, answers=each.answers
            )
            for each in asked
        ]
        completions, missing = stored_answers(request, items, self.synth)
        if missing:
            raise FtspecError(missing_diagnostic("", missing, about=("synthesize",)))
        self.counts.not_written = completions.count(None)
        for each, completion in zip(asked, completions, strict=True):
            if completion is not None:
                yield replace(each, completion=completion)


_APART = ("documents", "questions", "synthesize")


def open_raft(plan: LlmSource, folder: Path, index: int, slices: tuple[str, ...], synth: Path) -> RaftSource:
    """Find the files; no row is read. Raises FtspecError (FTS701)."""
    raft = plan.raft
    assert raft is not None, "a raft source always has its plan"
    return RaftSource(
        plan=raft,
        documents=find_file(raft.documents, folder, "documents"),
        questions=None if raft.questions is None else find_file(raft.questions, folder, "questions"),
        synth=synth,
        slices=tuple(name for name in slices if name != "group"),
        index=index,
    )


def find_file(file: RaftFile, folder: Path, key: str) -> Path:
    """Raises FtspecError (FTS701) about the `path` under `key` of the source."""
    try:
        path = resolve_path(file.path, folder)
        require(path, file.path, folder=False)
        format_of(path, file.format)
    except FtspecError as error:
        raise FtspecError(*(replace(each, about=(key, "path")) for each in error.diagnostics)) from error
    return path


def read_documents(file: RaftFile, path: Path) -> Iterator[RaftDocument | RowFault]:
    """Documents as rows and synthetic questions see them: a title stands before the text.

    Raises FtspecError: FTS701 for an unreadable file, FTS704 for a column that is nowhere.
    """
    ids: set[str] = set()
    roles = file.roles
    for record in checked_records(
        path, format_of(path, file.format), list(roles.items()), file.path, ("documents", "roles")
    ):
        try:
            value = _value(record)
            text = text_of(value, roles["text"])
            if "title" in roles and value.get(roles["title"]):
                text = f"{text_of(value, roles['title'])}\n{text}"
            id = unique(word_of(value, roles["id"]), ids) if "id" in roles else text_id("d", text)
            yield RaftDocument(id=id, text=text)
        except RowError as fault:
            yield _fault(file, record, fault)


def _value(record: Record) -> dict[str, Any]:
    if isinstance(record.value, str):
        raise RowError(record.value)
    return record.value


def _fault(file: RaftFile, record: Record, fault: RowError) -> RowFault:
    return RowFault(file=file.path, line=record.line, reason=str(fault), excerpt=record.excerpt)
