"""What a run is made from, outside of its plan: data sources, model files, the spec. Their digests are taken
before anything is launched, and again afterwards: a hash that is taken once tells nothing about the time
between."""

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.requests import embedding_request_of, llm_request_of
from ftspec.models.find import Reader
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import ModelFacts
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.store.digests import DigestCache
from ftspec.store.project import Project


class InputKind(StrEnum):
    DATA = "data"
    EVALUATION = "evaluation"
    MODEL = "model"
    BASELINE = "baseline"
    SPEC = "spec"


DATA_KINDS = (InputKind.DATA, InputKind.EVALUATION)
MODEL_KINDS = (InputKind.MODEL, InputKind.BASELINE)

_WORDS = {
    InputKind.DATA: "data source",
    InputKind.EVALUATION: "evaluation data",
    InputKind.MODEL: "base model",
    InputKind.BASELINE: "baseline",
    InputKind.SPEC: "spec",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    kind: InputKind
    name: str  # as the spec writes it
    digest: str | None  # None: it cannot be read
    fault: str = ""  # why not

    @property
    def title(self) -> str:
        return f"{_WORDS[self.kind]} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedInput:
    index: int  # among all inputs of the plan; sources come first
    before: Input
    after: Input

    def __str__(self) -> str:
        new = short_digest(self.after.digest) if self.after.digest else f"cannot be read: {self.after.fault}"
        return f"{self.before.title}: {short_digest(self.before.digest)} → {new}"


def planned_inputs(plan: Plan) -> tuple[Input, ...]:
    """As they were when the plan was made."""
    found = [
        Input(kind=kind, name=facts.label, digest=facts.digest)
        for kind, facts in zip(_source_kinds(plan), plan.data.facts.sources, strict=True)
    ]
    for kind, name, model in _models(plan):
        found.append(Input(kind=kind, name=name, digest=model.digest))
    return (*found, Input(kind=InputKind.SPEC, name=plan.spec_path, digest=plan.spec_hash))


def present_inputs(plan: Plan, project: Project, kinds: Collection[InputKind]) -> tuple[Input, ...]:
    """As they are now, in the same order, of some kinds. Of models the files where the plan found them; of
    the spec what it means, so that a comment is no change."""
    found: list[Input] = []
    if set(DATA_KINDS) & set(kinds):
        with DigestCache(project.cache) as known:
            found += _present_sources(plan, project, known)
    if set(MODEL_KINDS) & set(kinds):
        found += [_present_model(plan, project, *each) for each in _models(plan)]
    if InputKind.SPEC in kinds:
        found.append(_present_spec(plan))
    return tuple(each for each in found if each.kind in kinds)


def moved_inputs(
    plan: Plan, project: Project, kinds: Collection[InputKind] = tuple(InputKind)
) -> tuple[MovedInput, ...]:
    """The inputs that are no longer what the plan was made from."""
    before = [each for each in enumerate(planned_inputs(plan)) if each[1].kind in kinds]
    after = present_inputs(plan, project, kinds)
    return tuple(
        MovedInput(index=index, before=old, after=new)
        for (index, old), new in zip(before, after, strict=True)
        if old.digest != new.digest
    )


def require_unmoved(plan: Plan, project: Project, kinds: Collection[InputKind] = tuple(InputKind)) -> None:
    """Raise FTS602 with each input that moved since the plan was made."""
    moved = moved_inputs(plan, project, kinds)
    if moved:
        help = f"plan again: ftspec plan {shlex.quote(plan.spec_path)}"
        raise FtspecError(*(Diagnostic(code=codes.STALE_PLAN, detail=str(each), help=help) for each in moved))


def short_digest(digest: str | None) -> str:
    return (digest or "none").removeprefix("sha256:")[:12]


def _source_kinds(plan: Plan) -> Iterator[InputKind]:
    for _ in plan.data.train:
        yield InputKind.DATA
    for _ in plan.data.evaluation:
        yield InputKind.EVALUATION


def _models(plan: Plan) -> Iterator[tuple[InputKind, str, ModelFacts]]:
    yield InputKind.MODEL, plan.model.base, plan.model.facts
    if plan.evaluation.baseline_facts is not None:
        yield InputKind.BASELINE, plan.evaluation.baseline, plan.evaluation.baseline_facts


def _present_sources(plan: Plan, project: Project, known: DigestCache) -> Iterator[Input]:
    for index, kind in enumerate(_source_kinds(plan)):
        name = plan.data.facts.sources[index].label
        try:
            digest, found = source_digest(plan, index, project, known)
        except OSError as error:
            yield Input(kind=kind, name=name, digest=None, fault=f"{error.filename}: {error.strerror}")
            continue
        yield Input(kind=kind, name=name, digest=digest, fault=_first_fault(found))


def source_digest(
    plan: Plan, index: int, project: Project, known: DigestCache
) -> tuple[str | None, Diagnostics]:
    """Of one source of a plan, those of training counted first, as `SourceFacts.digest` is taken. Raises
    OSError as `open` does."""
    if isinstance(plan, LlmPlan):
        from ftspec.data.llm_collect import open_text_sources, source_digests

        wanted = llm_request_of(plan, project)
        request = replace(wanted, train=(wanted.sources[index],), evaluation=())
        texts, found = open_text_sources(request)
        if texts is None:
            return None, found
        digests, found = source_digests(request, texts, known)
        return (None if digests is None else digests[0]), found
    assert isinstance(plan, EmbeddingPlan), plan.kind
    from ftspec.data.sources import content_digest, open_sources

    asked = embedding_request_of(plan, project)
    source = (*asked.train, *asked.evaluation)[index]
    opened, found = open_sources(replace(asked, train=(source,), evaluation=()))
    return (None if opened is None else content_digest(opened[0], known)), found


def count_rows(plan: Plan, index: int, project: Project) -> int | None:
    """Rows of a source as they are now; None where they cannot be read, or are not simply counted."""
    try:
        if isinstance(plan, LlmPlan):
            from ftspec.data.llm_collect import open_text_sources
            from ftspec.data.rows import RowFault

            wanted = llm_request_of(plan, project)
            texts, _ = open_text_sources(replace(wanted, train=(wanted.sources[index],), evaluation=()))
            return None if texts is None else sum(not isinstance(row, RowFault) for row in texts[0].rows())
        assert isinstance(plan, EmbeddingPlan), plan.kind
        from ftspec.data.rows import RowFault
        from ftspec.data.sources import open_sources

        asked = embedding_request_of(plan, project)
        if index >= len(asked.train):
            return None  # queries and documents of a given evaluation
        opened, _ = open_sources(replace(asked, train=(asked.train[index],), evaluation=()))
        if opened is None:
            return None
        return sum(not isinstance(row, RowFault) for row in opened[0].rows(lambda: None))
    except (OSError, FtspecError):
        return None


def _present_model(plan: Plan, project: Project, kind: InputKind, name: str, facts: ModelFacts) -> Input:
    read: Reader[ModelFacts]
    if isinstance(plan, LlmPlan):
        from ftspec.models.decoder import read_decoder_facts as read
    else:
        from ftspec.models.facts import read_facts as read
    seen, found = read(Path(facts.location), id=facts.id, origin=facts.origin, cache=project.cache)
    return Input(kind=kind, name=name, digest=seen.digest if seen else None, fault=_first_fault(found))


def _present_spec(plan: Plan) -> Input:
    from ftspec.source.load import load_document
    from ftspec.spec.canonical import spec_hash
    from ftspec.spec.check import check_spec

    path = spec_file(plan)
    document, found = load_document(path, plan.overrides)
    spec = None
    if document is not None:
        spec, found = check_spec(document)
    digest = None if spec is None else spec_hash(spec)
    return Input(kind=InputKind.SPEC, name=plan.spec_path, digest=digest, fault=_first_fault(found))


def spec_file(plan: Plan) -> Path:
    """Where the plan's spec lies: as it was named, or in the folder that its paths start from."""
    path = Path(plan.spec_path)
    return path if path.is_file() else Path(plan.data.folder) / path.name


def _first_fault(found: Diagnostics) -> str:
    return next((f"{each.summary}: {each.detail}" for each in found if each.is_error), "")
