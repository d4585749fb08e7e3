"""Behaviour: does a model that is in use pass its gates today, on the held-out side of today's data?

Today's spec is compiled, its data stages run, and the model answers the held-out side in the place of the tuned
one; nothing is trained. All of that is stored under keys of its own (stage `behaviour`), so asking again while
nothing moved costs nothing, and an apply later reuses the parts that it shares.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.comparison import keep, scratch_folder
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.driver.drift import InUse, in_use
from ftspec.driver.incumbent import (
    Asked,
    CannotCompareError,
    encode_again,
    find_stored,
    run_stage,
    trained_split,
)
from ftspec.driver.stored_data import make_stored_data
from ftspec.driver.unseen import Side, count_rows, known_rows, without
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import read_summary
from ftspec.evaluate.gates import GateResult, Outcome, Verdict, judge, read_verdict, write_verdict
from ftspec.evaluate.words import bound_text, metric_label, value_text
from ftspec.plan.codec import HASH_VERSION, hash_of, plan_document
from ftspec.plan.drift import DriftFinding, DriftKind, DriftSeverity, ModelDrift
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.metrics import LATENCY
from ftspec.plan.model import Plan
from ftspec.plan.stages import GRAPHS, program_stages, stage_documents
from ftspec.store.artifacts import Artifact, Artifacts
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion
from ftspec.store.registry import RegisteredModel, is_intact
from ftspec.target.model import Target

STAGE = "behaviour"
_VERSION = 1
_PURPOSE = "ftspec drift --behaviour"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    verdict: Verdict
    rows: int
    left_out: int  # held-out rows of today that the model was trained on


def with_behaviour(
    project: Project,
    models: Sequence[ModelDrift],
    specs: Mapping[str, Path | None],
    *,
    tell: Callable[[str], None],
    notify: Notify | None = None,
    found: Diagnostics,
) -> tuple[ModelDrift, ...]:
    """The same reports, with findings of behaviour. `specs`: by name, where another one than the run's counts.
    Why a spec cannot be planned is added to `found`; then nothing of that model is run.

    Raises FtspecError where a program fails, FTS601 while something else runs.
    """
    used = {(each.name, each.version): each for each in in_use(project)}
    reports = []
    for each in models:
        path = specs.get(each.name) or Path(each.spec_path)
        compiled, here = compile_spec(path, project=project) if path.is_file() else (None, Diagnostics())
        if compiled is None:
            found.extend(item for item in here if item not in found.items)
        reports.append(
            _with_behaviour(
                project, each, used[each.name, each.version], path, compiled, tell=tell, notify=notify
            )
        )
    return tuple(reports)


def _with_behaviour(
    project: Project,
    drift: ModelDrift,
    used: InUse,
    path: Path,
    compiled: Compilation | None,
    *,
    tell: Callable[[str], None],
    notify: Notify | None,
) -> ModelDrift:
    try:
        judged = _judge_today(project, used, path, compiled, tell=tell, notify=notify)
    except CannotCompareError as error:
        return replace(drift, unknown=(*drift.unknown, f"behaviour: {error}"))
    notes = drift.notes
    if judged.left_out:
        known = f"{judged.left_out:,} of today's held-out rows are left out: the model was trained on them"
        notes = (*notes, f"behaviour: {known}")
    findings = tuple(_finding(each, used.model, path) for each in judged.verdict.gates if not _passed(each))
    if not findings:
        notes = (*notes, f"behaviour: passes its gates on {judged.rows:,} held-out rows of today")
    return replace(drift, findings=(*drift.findings, *findings), notes=notes)


def _passed(gate: GateResult) -> bool:
    return gate.outcome is Outcome.PASSED


def _finding(gate: GateResult, model: RegisteredModel | None, path: Path) -> DriftFinding:
    tuned = (model.meta.get("metrics") or {}).get("tuned", {}) if model is not None else {}
    before = tuned.get(gate.metric)
    failed = gate.outcome is Outcome.FAILED
    return DriftFinding(
        kind=DriftKind.BEHAVIOUR,
        subject=f"gate {metric_label(gate.metric)}: {bound_text(gate)}",
        severity=DriftSeverity.RELEVANT if failed else DriftSeverity.INFORMATIONAL,
        old="not measured when it was registered"
        if before is None
        else f"{value_text(before)} when it was registered",
        new=f"{'fails' if failed else 'cannot be told'} today: {gate.reason}",
        remedy=f"train on today's data: ftspec apply {shlex.quote(str(path))}"
        if failed
        else "more held-out rows can decide it",
    )


def _judge_today(
    project: Project,
    used: InUse,
    path: Path,
    compiled: Compilation | None,
    *,
    tell: Callable[[str], None],
    notify: Notify | None,
) -> _Judged:
    if used.model is None or not is_intact(used.model):
        raise CannotCompareError(f"the files of {used.name} {used.version} are missing or were changed")
    if not path.is_file():
        raise CannotCompareError(f"its spec is not at {path}; name it: ftspec drift SPEC --behaviour")
    if compiled is None:
        raise CannotCompareError(f"its spec {path} cannot be planned")
    plan = compiled.plan
    if plan.kind != used.model.kind:
        raise CannotCompareError(f"{path} is of kind {plan.kind} today, the model of kind {used.model.kind}")
    present = _as_present(used)
    output = make_stored_data(plan, project, purpose=_PURPOSE, notify=notify)
    judged = _without_latency(plan)
    store = Artifacts(project)
    base = _base(project, plan, output, compiled.world.targets, tell=tell, notify=notify)
    split = output("split")
    trained = trained_split(project, plan, split.path, present)
    known = frozenset[str]() if trained is None else known_rows(plan, split.path, trained)
    document = {
        "stage": STAGE,
        "version": _VERSION,
        "hash_version": HASH_VERSION,
        "model": used.model.digest,
        "split": split.key,
        "base": base.key,
        "scoring": {
            name: value
            for name, value in plan_document(judged)["evaluation"].items()
            if name != "baseline_facts"
        },
        "gates": plan_document(judged)["gates"],
        "left_out": sorted(known),
    }
    key = hash_of(document)
    artifact = store.find(STAGE, key)
    if artifact is None:
        data = output(GRAPHS[plan.kind].data)
        made = find_stored(project, plan, data, present) or encode_again(
            project, plan, data, present, targets=compiled.world.targets, purpose=_PURPOSE, tell=tell,
            notify=notify,
        )  # fmt: skip
        with scratch_folder(project, used.model) as scratch:
            whole = Side(
                split=keep(split.path, scratch),
                base=keep(base.path, scratch),
                tuned=keep(made.folder, scratch),
            )
            out = scratch / "out"
            out.mkdir()
            side = without(plan, whole, known, scratch / "side")
            if count_rows(plan, side) == 0:
                raise CannotCompareError("the model was trained on all of today's held-out rows")
            write_verdict(out, _evaluate(judged, side, made.similarity, out))
            artifact = store.publish(STAGE, key, out, document, algorithm=HASH_VERSION)
    return _Judged(
        verdict=read_verdict(artifact.path),
        rows=read_summary(artifact.path).queries,
        left_out=len(known),
    )


def _evaluate(plan: Plan, side: Side, similarity: str | None, out: Path) -> Verdict:
    """The model in the place of the tuned one, read by its own similarity."""
    if not isinstance(plan, EmbeddingPlan):
        return judge(plan, evaluate(plan, side.split, side.base, side.tuned, out))
    own = plan.model.similarity
    read = replace(plan, model=replace(plan.model, similarity=similarity or own))
    evidence = evaluate(read, side.split, side.base, side.tuned, out, base_similarity=own)
    return judge(read, evidence)


def _base(
    project: Project,
    plan: Plan,
    output: Callable[[str], Artifact],
    targets: Sequence[Target],
    *,
    tell: Callable[[str], None],
    notify: Notify | None,
) -> Artifact:
    """What the base model, or another baseline, makes of today's held-out side: gains are over that."""
    stage = program_stages(plan)[0]
    document = stage_documents(plan)[stage]
    key = hash_of(document)
    found = Artifacts(project).find(stage, key)
    if found is not None and not found.tainted:
        return found
    baseline = plan.evaluation.baseline_facts
    asked = Asked(
        plan=plan,
        stage=stage,
        document=document,
        base=Path(plan.model.facts.location),
        baseline=None if baseline is None else Path(baseline.location),
        label=plan.model.base if baseline is None else plan.evaluation.baseline,
    )
    tell(f"running {asked.label} on today's held-out side, once …")
    with project_lease(project, _PURPOSE, notify=notify):
        return run_stage(project, asked, key, output(GRAPHS[plan.kind].data), targets)


def _without_latency(plan: Plan) -> Plan:
    """Speed is a matter of the machine, and was not measured again."""
    gates = FrozenMap({metric: gate for metric, gate in plan.gates.items() if metric != LATENCY})
    if not isinstance(plan, EmbeddingPlan):
        return replace(plan, gates=gates)
    return replace(plan, gates=gates, evaluation=replace(plan.evaluation, latency_queries=0))


def _as_present(used: InUse) -> Promotion:
    """A version in the form in which comparisons ask for what an environment holds; nothing points by it."""
    assert used.model is not None
    return Promotion(
        environment="",
        name=used.name,
        kind=used.model.kind,
        number=0,
        action="promote",
        version=used.version,
        digest=used.model.digest,
        space_id=used.model.space_id,
        run_id=used.run_id,
        from_version=None,
        from_digest=None,
        basis="registered",
        verdict="passed",
        comparison=None,
        measured=None,
        flags=(),
        note="",
        by="",
        promoted=used.model.registered,
        previous=None,
    )
