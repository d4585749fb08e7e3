"""What a spec wants a language model to write, source by source, and the writing of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.data.llm_rows import RaftDocument
from ftspec.data.rows import RowFault
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.plan.synth import ANSWERS, QUERIES, QUESTIONS, SynthRequest, SynthSettings
from ftspec.resolve.data import source_plan
from ftspec.resolve.llm_sources import source_plan as text_source_plan
from ftspec.spec.data import DocumentsSource as DocumentsSection
from ftspec.spec.kinds import AnySpec
from ftspec.spec.llm_data import RaftSource as RaftSection
from ftspec.store.project import Project
from ftspec.synth.account import Account, Estimate, Phase, estimate
from ftspec.synth.ask import Ask
from ftspec.synth.cache import Cache
from ftspec.synth.faults import EndpointError
from ftspec.synth.make import make_answers, make_questions, missing_asks
from ftspec.synth.stored import (
    AnswerItem,
    Counts,
    SynthRow,
    answer_asks,
    answering_asks,
    judging_asks,
    question_asks,
    read_answers,
    read_questions,
)

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthSource:
    """A source with a `synthesize` section. `task` is what is written from its documents, None where its
    questions are given; `answers`: RAFT answers are written too."""

    place: Place  # data.train.0
    label: str  # the path of its documents
    settings: SynthSettings
    task: str | None
    answers: bool
    documents: tuple[tuple[str, str], ...]
    items: tuple[AnswerItem, ...]  # of the questions that are given

    def limited(self, count: int | None, concurrency: int | None) -> "SynthSource":
        """Fewer documents (or given questions), another number of requests at a time."""
        settings = self.settings
        if count is not None:
            settings = replace(settings, limit=min(count, settings.limit or count))
        if concurrency is not None:
            settings = replace(settings, concurrency=concurrency)
        return replace(self, settings=settings, items=self.items if count is None else self.items[:count])

    def step(self, task: str) -> SynthRequest:
        return SynthRequest(task=task, settings=self.settings)

    def answer_items(self, cache: Cache) -> tuple[AnswerItem, ...]:
        """The questions to answer: those given, or those stored by now."""
        if self.task is None:
            return self.items
        rows, _ = read_questions(self.step(self.task), self.documents, cache)
        texts = dict(self.documents)
        return tuple(_item(row, texts) for row in rows)


def _item(row: SynthRow, texts: dict[str, str]) -> AnswerItem:
    return AnswerItem(question=row.question, document=texts[row.document_id], answers=row.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """Where a source stands: counts of each of its tasks, and what is still to be asked.

    `expected` holds all requests still to be made, also those that follow from questions not written yet,
    as if each of them would be kept.
    """

    source: SynthSource
    counts: tuple[tuple[str, Counts], ...]
    expected: Estimate

    @property
    def missing(self) -> int:
        return sum(counts.missing for _, counts in self.counts)


def synth_sources(spec: AnySpec, folder: Path) -> tuple[tuple[SynthSource, ...], Diagnostics]:
    """The sources that want text written, with their documents read. Bad rows are errors where
    `data.on_error` says so: nothing is paid for before they are mended."""
    found = Diagnostics()
    sources: list[SynthSource] = []
    for side, written in (("train", spec.data.train), ("evaluation", spec.data.evaluation)):
        for index, section in enumerate(written):
            if not isinstance(section, RaftSection | DocumentsSection) or section.synthesize is None:
                continue
            place: Place = ("data", side, index)
            try:
                if isinstance(section, RaftSection):
                    source, faults = _raft(section, place, folder)
                else:
                    source, faults = _documents(section, place, folder)
            except FtspecError as error:
                found.extend(replace(each, about=(*place, *each.about)) for each in error.diagnostics)
                continue
            if faults and spec.data.on_error == "fail":
                found.add(
                    codes.BAD_ROW,
                    f"{faults[0]}" + (f" ({len(faults)} bad rows in all)" if len(faults) > 1 else ""),
                    help="mend the rows; or `data.on_error: skip` leaves them out",
                    about=place,
                )
            sources.append(source)
    return tuple(sources), found


def _documents(
    section: DocumentsSection, place: Place, folder: Path
) -> tuple[SynthSource, tuple[RowFault, ...]]:
    from ftspec.data.documents import read_documents
    from ftspec.data.paths import require, resolve_path

    plan = source_plan(section)
    assert plan.synthesize is not None
    path = resolve_path(plan.path, folder)
    require(path, plan.path, folder=False)
    documents, faults = read_documents(path, plan)
    source = SynthSource(
        place=place,
        label=plan.path,
        settings=plan.synthesize,
        task=QUERIES,
        answers=False,
        documents=documents,
        items=(),
    )
    return source, faults


def _raft(section: RaftSection, place: Place, folder: Path) -> tuple[SynthSource, tuple[RowFault, ...]]:
    from ftspec.data.raft_source import open_raft

    plan = text_source_plan(section)
    assert plan.raft is not None
    assert plan.raft.synthesize is not None
    opened = open_raft(plan, folder, 0, (), Path())
    read, asked = opened.texts()
    documents = {item.id: item.text for item in read if isinstance(item, RaftDocument)}
    faults = tuple(item for item in (*read, *asked) if isinstance(item, RowFault))
    items = tuple(
        AnswerItem(question=item.question, document=documents[item.document_id], answers=item.answers)
        for item in asked
        if not isinstance(item, RowFault)
    )
    source = SynthSource(
        place=place,
        label=plan.raft.documents.path,
        settings=plan.raft.synthesize,
        task=QUESTIONS if plan.raft.questions is None else None,
        answers=plan.raft.answers == "written",
        documents=tuple(documents.items()),
        items=items,
    )
    return source, faults


def source_state(source: SynthSource, cache: Cache) -> SourceState:
    """Read off the cache, without a network."""
    settings = source.settings
    counts: list[tuple[str, Counts]] = []
    asks: list[Ask] = []
    coming: list[AnswerItem] = []  # questions that will be written
    graded: list[AnswerItem] = []  # what will go to the judge, and is not there yet
    if source.task is not None:
        request = source.step(source.task)
        counts.append((source.task, read_questions(request, source.documents, cache)[1]))
        asks += missing_asks(question_asks(request, source.documents, cache), cache)
        writing = [ask for ask in asks if ask.recipe.task.name == source.task]
        coming = [_usual_item(ask) for ask in writing for _ in range(settings.per_document)]
        graded += coming
    if source.answers:
        request = source.step(ANSWERS)
        items = source.answer_items(cache)
        counts.append((ANSWERS, read_answers(request, items, cache)[1]))
        known = missing_asks(answer_asks(request, items, cache), cache)
        follow = answering_asks(request, coming)
        graded += [_usual_item(ask) for ask in (*known, *follow) if ask.recipe.task.name == ANSWERS]
        asks += known + follow
    if settings.judge is not None:
        asks += judging_asks(settings, ((each.question, each.document, each.answers[0]) for each in graded))
    return SourceState(source=source, counts=tuple(counts), expected=estimate(asks))


def _usual_item(ask: Ask) -> AnswerItem:
    """Stands for a question, or an answer, that is not written yet: as long as they are."""
    return AnswerItem(question="?" * 60, document=str(ask.inputs["document"]), answers=("!" * 20,))


def make_source(
    source: SynthSource,
    cache: Cache,
    account: Account,
    *,
    observe: Callable[[Phase], None],
    retry_dropped: bool = False,
) -> None:
    """Asks for all that is missing. Raises FtspecError with the place in the spec; what came is stored."""
    try:
        if source.task is not None:
            make_questions(
                source.step(source.task),
                source.documents,
                cache,
                account,
                observe=observe,
                retry_dropped=retry_dropped,
            )
        if source.answers:
            make_answers(
                source.step(ANSWERS),
                source.answer_items(cache),
                cache,
                account,
                observe=observe,
                retry_dropped=retry_dropped,
            )
    except EndpointError as error:
        raise FtspecError(placed(error.diagnostic(), source)) from None


_KEYS = {
    codes.ENDPOINT_NO_MODEL.id: "model",
    codes.SYNTH_GARBAGE.id: "model",
    codes.ENDPOINT_REFUSED.id: "api_key",
    codes.ENDPOINT_TIMED_OUT.id: "timeout_seconds",
}


def placed(found: Diagnostic, source: SynthSource) -> Diagnostic:
    """With the key of the spec that is to be mended."""
    return replace(found, about=(*source.place, "synthesize", _KEYS.get(found.code.id, "endpoint")))


@contextmanager
def synth_lock(project: Project) -> Iterator[None]:
    """One writer at a time: two would pay for the same answers. Raises FtspecError (FTS601)."""
    from filelock import FileLock, Timeout

    project.create()
    project.synth.mkdir(exist_ok=True)
    lock = FileLock(project.synth / "lock", timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise FtspecError(
            Diagnostic(
                code=codes.LOCKED,
                detail=f"another `ftspec synth` writes to {project.relative(project.synth)}",
                help="wait for it, or stop it",
            )
        ) from None
    try:
        yield
    finally:
        lock.release()
