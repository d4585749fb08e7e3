"""The stages of a run and their keys.

A key is a hash over everything that can change the stage's output, by deny-list: the sections that
a stage reads enter whole, minus what is declared as having no effect. Execution enters no key of
a model or a score: moving machines re-lowers, it does not retrain. Only latency is a machine's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftspec.plan import embedding, embedding_stages, llm, llm_stages
from ftspec.plan.codec import hash_of
from ftspec.plan.model import Action, Plan, Stage
from ftspec.plan.reasons import Reason

Lookup = Callable[[str, str], tuple[Action, Reason]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageGraph:
    """The stages of one kind, in an order in which they can run.

    `programs`: those that the backend's programs run, in one process: importing the training stack costs
    it seconds each time.
    """

    needs: Mapping[str, tuple[str, ...]]
    programs: tuple[str, ...]
    data: str  # the stage whose output the programs read
    documents: Callable[[Any], dict[str, dict[str, Any]]]


GRAPHS: Mapping[str, StageGraph] = {
    kind: StageGraph(
        needs=stages.NEEDS,
        programs=stages.PROGRAMS,
        data=stages.DATA,
        documents=stages.stage_documents,
    )
    for kind, stages in ((embedding.KIND, embedding_stages), (llm.KIND, llm_stages))
}


def data_stages(plan: Plan) -> tuple[str, ...]:
    """Those that need no GPU and come before the programs."""
    names = tuple(GRAPHS[plan.kind].needs)
    return names[: names.index(GRAPHS[plan.kind].data) + 1]


def program_stages(plan: Plan) -> tuple[str, ...]:
    return GRAPHS[plan.kind].programs


def stage_documents(plan: Plan) -> dict[str, dict[str, Any]]:
    """For each stage the document that its key is the hash of, stored beside the artefact."""
    return GRAPHS[plan.kind].documents(plan)


def with_stages(plan: Plan, lookup: Lookup) -> Plan:
    """The plan with its stages; `lookup(stage, key)` says whether the store already holds the output."""
    stages: list[Stage] = []
    needs = GRAPHS[plan.kind].needs
    for name, document in stage_documents(plan).items():
        key = hash_of(document)
        action, reason = lookup(name, key)
        stages.append(Stage(name=name, key=key, needs=needs[name], action=action, reason=reason))
    return replace(plan, stages=tuple(stages))


def predicted_seconds(plan: Plan) -> float:
    """Of the stages that will run; the start of the programs counts when any of them does."""
    assert plan.estimates is not None
    reused = {stage.name for stage in plan.stages if stage.action is Action.REUSE}
    if reused.issuperset(program_stages(plan)):
        reused.add("start")
    return sum(value for name, value in plan.estimates.stage_seconds.items() if name not in reused)


def nothing_stored(stage: str, key: str) -> tuple[Action, Reason]:
    """The lookup of an empty store."""
    del stage, key
    return Action.RUN, Reason.NO_ARTIFACT
