"""Sources of an LLM spec in the words of the plan."""

from typing import Any

from ftspec.plan.formats import format_of_name
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm_data import LlmSource, RaftFile, RaftPlan
from ftspec.spec.llm_data import ChatSource, RaftDocuments, RaftQuestions, RaftSource
from ftspec.spec.llm_data import LlmSource as SpecSource
from ftspec.spec.synthesize import synth_settings


def source_plan(source: SpecSource) -> LlmSource:
    """`format: auto` goes by the file's ending (else None); `render` stays as written, the facts settle it."""
    if isinstance(source, RaftSource):
        return LlmSource(type="raft", render=source.render, raft=_raft(source))
    return LlmSource(
        type=source.type,
        path=source.path,
        format=_format(source.path, source.format),
        roles=_roles(source.roles.model_dump()),
        render="chat" if isinstance(source, ChatSource) else source.render,
    )


def _raft(source: RaftSource) -> RaftPlan:
    return RaftPlan(
        documents=_file(source.documents),
        questions=None if source.questions is None else _file(source.questions),
        synthesize=None if source.synthesize is None else synth_settings(source.synthesize),
        distractors=source.distractors,
        oracle_probability=source.oracle_probability,
        retriever=source.retriever,
        when_absent=source.when_absent,
        answers=source.answers,
        prompt=source.prompt,
        seed=source.seed,
    )


def _file(section: RaftDocuments | RaftQuestions) -> RaftFile:
    return RaftFile(
        path=section.path,
        format=_format(section.path, section.format),
        roles=_roles(section.roles.model_dump()),
    )


def _format(path: str, wish: str) -> str | None:
    return format_of_name(path) if wish == "auto" else wish


def _roles(roles: dict[str, Any]) -> FrozenMap[str]:
    return FrozenMap({role: column for role, column in roles.items() if column is not None})
