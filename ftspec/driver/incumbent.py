"""What the model that an environment holds makes of another run's held-out side."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.lower.links import link_tree
from ftspec.lower.lower import LowerInputs, lower
from ftspec.models.facts import read_facts
from ftspec.plan.codec import HASH_VERSION, hash_of
from ftspec.plan.embedding import EmbeddingPlan, Prompts
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Action, Plan
from ftspec.plan.stages import program_stages, stage_documents
from ftspec.plan.text import plan_from_json
from ftspec.run.launch import launch
from ftspec.serve.served import read_passport
from ftspec.store.artifacts import Artifact, Artifacts
from ftspec.store.files import scratch_folder
from ftspec.store.history import find_whole
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion
from ftspec.store.registry import ADAPTER, RegisteredModel, find_model_version
from ftspec.target.environments import BackendEnvironment, require_environment
from ftspec.target.model import Target

SCRATCH = "promote"  # below the project's state: what comparisons work in

# The files that decide what a model is asked: where two runs agree on them, what one stored serves the other.
_ASKED = {"Embedding": ("test/queries.jsonl", "test/corpus.jsonl"), "LLM": ("test.jsonl",)}
_ASKED_OF = {"Embedding": "split", "LLM": "tokenize"}


class CannotCompareError(Exception):
    """Why no comparison can be made; a verdict that cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Embeddings, or losses and answers, of the held-out side. `similarity`: of embeddings."""

    folder: Path
    similarity: str | None


def same_model_as_baseline(project: Project, plan: Plan, present: Promotion) -> bool:
    """Was the run measured against this very model already?"""
    baseline = plan.evaluation.baseline_facts
    if baseline is None or present.kind != "Embedding":
        return False
    model = find_whole(project, present)
    if model is None:
        return False
    facts, _ = read_facts(model.path, id=present.name, origin="store", cache=project.cache)
    return facts is not None and facts.digest == baseline.digest


def trained_split(project: Project, plan: Plan, split: Path, present: Promotion) -> Path | None:
    """The split that the present model was trained on, where it is another one and still stored."""
    theirs = _plan(project, present)
    if theirs is None or theirs.kind != plan.kind:
        return None
    key = next(stage.key for stage in theirs.stages if stage.name == "split")
    stored = Artifacts(project).find("split", key)
    return None if stored is None or stored.path == split else stored.path


def find_stored(project: Project, plan: Plan, data: Artifact, present: Promotion) -> Made | None:
    """What its own run stored, if it was asked the same texts in the same way. Needs no file of the model."""
    theirs = _plan(project, present)
    if theirs is None or theirs.kind != plan.kind:
        return None
    keys = {stage.name: stage.key for stage in theirs.stages}
    store = Artifacts(project)
    asked = store.find(_ASKED_OF[plan.kind], keys[_ASKED_OF[plan.kind]])
    if asked is None or _asked(asked, plan.kind) != _asked(data, plan.kind):
        return None
    stage = program_stages(plan)[-1]
    if isinstance(plan, LlmPlan) and (_scoring(theirs) != _scoring(plan) or _merged_later(project, present)):
        return None
    made = store.find(stage, keys[stage])
    if made is None:
        return None
    return Made(
        folder=made.path, similarity=theirs.model.similarity if isinstance(theirs, EmbeddingPlan) else None
    )


def encode_again(
    project: Project,
    plan: Plan,
    data: Artifact,
    present: Promotion,
    *,
    targets: Sequence[Target],
    purpose: str,
    tell: Callable[[str], None],
    notify: Notify | None,
) -> Made:
    """Run the stage that encodes or scores the held-out side, with the model in the place of the base.

    Raises CannotCompareError where the model is gone or cannot be asked the same, FtspecError where the
    program fails, FTS601 while something else runs in the project.
    """
    model = find_whole(project, present)
    if model is None:
        raise CannotCompareError(
            f"the files of {present.model}, which is there, are missing or were changed, and its run did not "
            "store what it makes of these held-out texts"
        )
    asked = (
        _as_base(project, plan, model) if isinstance(plan, EmbeddingPlan) else _as_text(project, plan, model)
    )
    key = hash_of(asked.document)
    store = Artifacts(project)
    found = store.find(asked.stage, key)
    if found is None:
        tell(f"running {model.name} {model.version} on the held-out side of the candidate, once …")
        with project_lease(project, purpose, notify=notify):
            found = run_stage(project, asked, key, data, targets)
    return Made(folder=found.path, similarity=asked.similarity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One stage of one model: the plan that it is lowered from, and what its key is taken over."""

    plan: Plan
    stage: str
    document: dict[str, Any]
    base: Path
    adapter: Path | None = None
    baseline: Path | None = None  # what stands in the place of the base, of a plan that names another one
    similarity: str | None = None
    label: str


def _as_base(project: Project, plan: EmbeddingPlan, model: RegisteredModel) -> Asked:
    """The model as the base of the candidate's plan, read by its own settings."""
    how = read_passport(model.path)["model"]
    theirs = _plan_of_run(project, str(model.meta.get("run_id")))
    run = plan.execution
    attention = (
        theirs.execution.attn_implementation
        if theirs is not None and theirs.execution.device == run.device
        else "eager"  # which every architecture has
    )
    read = replace(
        plan,
        model=replace(
            plan.model,
            max_seq_length=how["max_seq_length"],
            prompts=Prompts(query=how["prompts"]["query"], document=how["prompts"]["document"]),
            pooling=how["pooling"],
            similarity=how["similarity"],
            trust_remote_code=how["trust_remote_code"],
            facts=replace(plan.model.facts, digest=model.digest),
        ),
        evaluation=replace(plan.evaluation, baseline="base", baseline_facts=None, latency_queries=0),
        execution=replace(run, attn_implementation=attention),
    )
    stage = program_stages(plan)[0]
    return Asked(
        plan=read,
        stage=stage,
        document=stage_documents(read)[stage],
        base=model.path,
        similarity=how["similarity"],
        label=f"{model.name} {model.version}",
    )


def _as_text(project: Project, plan: Plan, model: RegisteredModel) -> Asked:
    """A whole model as the base of the candidate's plan; an adapter as what was trained on its own base."""
    assert isinstance(plan, LlmPlan)
    label = f"{model.name} {model.version}"
    theirs = _plan_of_run(project, str(model.meta.get("run_id")))
    if not isinstance(theirs, LlmPlan):
        raise CannotCompareError(f"the run that made {label} is gone, and with it how the model is asked")
    if theirs.data.facts.tokenizer_digest != plan.data.facts.tokenizer_digest:
        raise CannotCompareError(
            f"{label} has another tokenizer: losses per token of the two cannot be compared"
        )
    base, _, tuned = program_stages(plan)
    if model.is_whole:
        read = replace(
            plan,
            model=replace(plan.model, facts=replace(plan.model.facts, digest=model.digest)),
            export=replace(plan.export, merge=True),  # a whole model is scored unquantised, as it ships
        )
        return Asked(
            plan=read, stage=base, document=stage_documents(read)[base], base=model.path, label=label
        )
    assert model.adapter is not None
    if theirs.execution.backend != plan.execution.backend:
        raise CannotCompareError(
            f"{label} is an adapter of {theirs.execution.backend}, and the candidate was scored by "
            f"{plan.execution.backend}; `ftspec models merge {model.name}` makes a model that both read"
        )
    folder = Path(theirs.model.facts.location)
    if not folder.is_dir():
        raise CannotCompareError(f"the base of {label}, which is an adapter, is not at {folder}")
    read = replace(
        plan,
        model=replace(
            theirs.model,
            max_seq_length=plan.model.max_seq_length,
        ),
        adapter=theirs.adapter,
        export=replace(plan.export, merge=False),
    )
    document = {**stage_documents(read)[tuned], "train": model.digest}
    return Asked(plan=read, stage=tuned, document=document, base=folder, adapter=model.adapter, label=label)


def run_stage(
    project: Project, asked: Asked, key: str, data: Artifact, targets: Sequence[Target]
) -> Artifact:
    """Run one stage on its own, and store what it makes. Call it under the project's lease."""
    backend = asked.plan.execution.backend
    target = next((each for each in targets if each.name == backend), None)
    if target is None:
        raise CannotCompareError(
            f"the candidate was made by `{backend}`, which is not among the backends here"
        )
    environment = require_environment(project.state, target)
    with scratch_folder(project.state / SCRATCH, "run") as work:
        return _run_in(work, project, asked, key, data, target, environment)


def _run_in(
    work: Path,
    project: Project,
    asked: Asked,
    key: str,
    data: Artifact,
    target: Target,
    environment: BackendEnvironment,
) -> Artifact:
    folder = work / "run"
    reused = {}
    if asked.adapter is not None:
        reused["train"] = work / "trained"
        link_tree(asked.adapter, reused["train"] / ADAPTER)
    stages = tuple(
        replace(stage, key=key, action=Action.RUN)
        if stage.name == asked.stage
        else replace(stage, action=Action.REUSE)
        for stage in asked.plan.stages
    )
    lowered, found = lower(
        replace(asked.plan, stages=stages),
        target,
        LowerInputs(base_model=asked.base, baseline_model=asked.baseline, data=data.path, reused=reused),
        folder,
    )
    if lowered is None:
        raise FtspecError(*found)
    outcome = launch(folder, on_event=lambda event: None, interpreter=str(environment.interpreter))
    if outcome.diagnostics:
        raise FtspecError(*(_about(each, asked) for each in outcome.diagnostics))
    out = folder / "out" / asked.stage
    done = json.loads((out / "DONE.json").read_text(encoding="utf-8"))
    assert done["key"] == key, "the program ran another stage"
    return Artifacts(project).publish(asked.stage, key, out, asked.document, algorithm=HASH_VERSION)


def _about(found: Diagnostic, asked: Asked) -> Diagnostic:
    """The run folder is gone when a person reads this, so nothing of it is named."""
    detail = f"{asked.stage} of {asked.label}: {found.detail}"
    help = "the same command begins again" if found.code is codes.INTERRUPTED else ""
    return replace(found, detail=detail, help=help)


def _plan(project: Project, present: Promotion) -> Plan | None:
    return None if present.run_id is None else _plan_of_run(project, present.run_id)


def _plan_of_run(project: Project, run_id: str) -> Plan | None:
    try:
        text = (project.runs / run_id / "plan.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return plan_from_json(text, name=run_id)[0]


def _asked(artifact: Artifact, kind: str) -> dict[str, str]:
    return {file.name: file.sha256 for file in artifact.files if file.name in _ASKED[kind]}


def _scoring(plan: Plan) -> dict[str, Any]:
    """How an LLM was scored, apart from the tokens, which `_asked` compares, and the bits: each model is scored
    in the form in which it ships."""
    document = stage_documents(plan)[program_stages(plan)[-1]]
    how = {name: value for name, value in document["how"].items() if name != "bits"}
    return {"answers": document["answers"], "how": how}


def _merged_later(project: Project, present: Promotion) -> bool:
    """A version that `models merge` made was not scored in its form."""
    model, _ = find_model_version(project, present.name, present.version)
    return model is not None and "merged_from" in model.meta
