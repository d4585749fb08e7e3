"""Drift: the world against what was there when a model that is in use was made.

Everything is compared with the plan of the run that made it, not with the spec of today: an edited spec is a
change, which `ftspec plan` and `ftspec diff` tell about. Nothing is downloaded, so what only the hub knows is
reported as unknown.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics, FtspecError
from ftspec.driver.drift_machine import hardware_drift, packages_drift
from ftspec.driver.drift_spec import spec_today
from ftspec.driver.inputs import DATA_KINDS, InputKind, MovedInput, count_rows, moved_inputs, short_digest
from ftspec.driver.lock_keys import model_key, resolved_revision
from ftspec.models.find import find_decoder, find_model
from ftspec.plan.drift import DriftFinding, DriftKind, DriftReport, DriftSeverity, ModelDrift
from ftspec.plan.facts import ModelFacts
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.plan.text import plan_from_json
from ftspec.store.artifacts import Artifacts
from ftspec.store.environments import read_pointers
from ftspec.store.lockfile import LOCK_NAME, read_lock
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion
from ftspec.store.registry import RegisteredModel, is_intact, list_models
from ftspec.store.run_record import RunRecord, read_record

CURRENT = "current"
_NO_LOCK = f"{LOCK_NAME} cannot be used, so which revisions of models it holds is not known"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RELEVANT, _INFORMATIONAL = DriftSeverity.RELEVANT, DriftSeverity.INFORMATIONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """A version that something points to. `model` is None where the version is gone."""

    name: str
    version: str
    used_as: tuple[str, ...]
    model: RegisteredModel | None
    promotions: tuple[Promotion, ...]  # that point to it

    @property
    def run_id(self) -> str | None:
        if self.model is not None:
            return str(self.model.meta["run_id"]) if self.model.meta.get("run_id") else None
        return next((each.run_id for each in self.promotions if each.run_id), None)


def in_use(project: Project, name: str | None = None) -> tuple[InUse, ...]:
    """The versions that environments point to, and the current ones, by name. Raises FTS680 where the file of
    environments cannot be read."""
    promotions = [each for each in read_pointers(project).values() if name in (None, each.name)]
    models = {(model.name, model.version): model for model in list_models(project, name)}
    places = {(each.name, each.version) for each in promotions}
    places |= {place for place, model in models.items() if model.current}
    found = []
    for place in sorted(places):
        model = models.get(place)
        pointing = tuple(each for each in promotions if (each.name, each.version) == place)
        used_as = sorted(each.environment for each in pointing)
        found.append(
            InUse(
                name=place[0],
                version=place[1],
                used_as=(*used_as, *((CURRENT,) if model is not None and model.current else ())),
                model=model,
                promotions=pointing,
            )
        )
    return tuple(found)


def model_drift(
    project: Project,
    used: InUse,
    *,
    quick: bool = False,
    spec: Path | None = None,
    found: Diagnostics | None = None,
) -> ModelDrift:
    """What moved under one version. `quick`, for plans: inputs, and whether files are there; no stored file is
    read, nor any spec. `spec`: that of its name, where it is known; the project may have been moved. What keeps
    something from being looked at is added to `found`, and told by `unknown`."""
    if used.model is None and not project.models.is_dir() and not project.runs.is_dir():
        return _without_state(used)
    record, plan, unknown = _made_by(project, used)
    findings = [*_registered(project, used, quick=quick)]
    notes: tuple[str, ...] = ()
    if plan is not None:
        if quick:
            plan = plan if spec is None else replace(plan, spec_path=str(spec))
        else:
            today = spec_today(project, plan, named=spec)
            plan = _placed(replace(plan, spec_path=today.path), spec)
            findings += today.findings
            unknown += today.unknown
            notes = today.notes
            if found is not None:
                found.extend(today.found)
        here, unseen = _base_models(project, plan)
        findings += here
        unknown += unseen
        findings += _sources(project, plan, quick=quick)
        findings += _stored(project, plan, quick=quick)
    if record is not None and not quick:
        findings += packages_drift(project, record)
        findings += hardware_drift(record)
    return ModelDrift(
        name=used.name,
        version=used.version,
        used_as=used.used_as,
        spec_path=plan.spec_path if plan is not None else record.spec_path if record is not None else "",
        run_id=used.run_id,
        made=used.model.registered if used.model is not None else "",
        findings=tuple(findings),
        unknown=tuple(unknown),
        notes=notes,
    )


def _placed(plan: Plan, spec: Path | None) -> Plan:
    """With the folder that paths of data start from: that of the spec that was named, or where the one that it
    had is gone, that of the spec as it is."""
    if spec is None and Path(plan.data.folder).is_dir():
        return plan
    folder = (spec or Path(plan.spec_path)).parent
    return replace(plan, data=replace(plan.data, folder=str(folder.resolve())))


def _without_state(used: InUse) -> ModelDrift:
    """Of a fresh checkout, which holds the pointers of environments and nothing that they point to."""
    why = "there is no state (.ftspec) here, as in a fresh checkout, so neither its files nor its run can be compared"
    return ModelDrift(
        name=used.name,
        version=used.version,
        used_as=used.used_as,
        spec_path="",
        run_id=used.run_id,
        made="",
        findings=(),
        unknown=(why,),
    )


def plan_drift(project: Project, name: str, spec: Path) -> tuple[ModelDrift, ...]:
    """The short form for a plan of a spec: versions in use of its name with relevant findings."""
    try:
        used = in_use(project, name)
    except FtspecError:  # `ftspec drift` and `promote` tell what is wrong with the file
        return ()
    drifted = (model_drift(project, each, quick=True, spec=spec) for each in used)
    return tuple(each for each in drifted if each.relevant)


def _made_by(project: Project, used: InUse) -> tuple[RunRecord | None, Plan | None, list[str]]:
    """The record and plan of its run, and what is missing."""
    if used.run_id is None:
        return None, None, ["no run is known that made it, so its inputs cannot be compared"]
    record, _ = read_record(project.runs / used.run_id)
    try:
        text = (project.runs / used.run_id / "plan.json").read_text(encoding="utf-8")
    except OSError:
        return record, None, [f"the plan of run {used.run_id} is gone, so its inputs cannot be compared"]
    plan, found = plan_from_json(text, name=used.run_id)
    if plan is None:
        why = next((each.detail for each in found if each.is_error), "it cannot be read")
        return record, None, [f"the plan of run {used.run_id}: {why}"]
    return record, plan, []


def _registered(project: Project, used: InUse, *, quick: bool) -> Iterator[DriftFinding]:
    """Is the version that is pointed to there, and as it was?"""
    subject = f"model {used.name} {used.version}"
    again = "apply its spec, and promote what that makes; or go back: ftspec history"
    if used.model is None:
        for promotion in used.promotions:
            yield DriftFinding(
                kind=DriftKind.ARTIFACT,
                subject=f"{subject} in {promotion.environment}",
                severity=_RELEVANT,
                old=short_digest(promotion.digest),
                new="its files are not here",
                remedy=f"bring .ftspec from where it was promoted; or {again}",
            )
        return
    for promotion in used.promotions:
        if promotion.digest != used.model.digest:
            yield DriftFinding(
                kind=DriftKind.ARTIFACT,
                subject=f"{subject} in {promotion.environment}",
                severity=_RELEVANT,
                old=f"promoted {short_digest(promotion.digest)}",
                new=f"registered {short_digest(used.model.digest)}",
                remedy=f"promote what is meant: ftspec promote {used.name}@{used.version} --to {promotion.environment}",
            )
    if not quick and not is_intact(used.model):
        yield DriftFinding(
            kind=DriftKind.ARTIFACT,
            subject=subject,
            severity=_RELEVANT,
            old=short_digest(used.model.digest),
            new=f"files of {project.relative(used.model.path)} were changed or are missing",
            remedy=f"ftspec models delete {used.name} --version {used.version}; then {again}",
        )


def _sources(project: Project, plan: Plan, *, quick: bool) -> Iterator[DriftFinding]:
    for moved in moved_inputs(plan, project, DATA_KINDS):
        is_data = moved.before.kind is InputKind.DATA
        yield DriftFinding(
            kind=DriftKind.DATA if is_data else DriftKind.EVALUATION,
            subject=moved.before.title,
            severity=_RELEVANT,
            old=_source_text(moved, project, plan, now=False),
            new=_source_text(moved, project, plan, now=True, quick=quick),
            remedy=f"train with it: ftspec apply {shlex.quote(plan.spec_path)}"
            if is_data
            else f"measure again: ftspec drift {plan.spec_path} --behaviour",
        )


def _source_text(moved: MovedInput, project: Project, plan: Plan, *, now: bool, quick: bool = False) -> str:
    side = moved.after if now else moved.before
    if side.digest is None:
        return f"cannot be read: {side.fault}"
    facts = plan.data.facts.sources[moved.index]
    rows: int | None = facts.rows
    if now:  # a plan, which is quick, reads no table twice
        rows = None if quick else count_rows(plan, moved.index, project)
    counted = "" if rows is None else f"{rows:,} row{'' if rows == 1 else 's'} "
    return f"{counted}{short_digest(side.digest)}"


def _base_models(project: Project, plan: Plan) -> tuple[list[DriftFinding], list[str]]:
    """Base and baseline as a new plan would find them, and what the hub may have that is not seen here."""
    found: list[DriftFinding] = []
    unknown: list[str] = []
    asked = [(DriftKind.MODEL, plan.model.base, plan.model.revision, plan.model.facts)]
    if plan.evaluation.baseline_facts is not None:
        asked.append((DriftKind.BASELINE, plan.evaluation.baseline, None, plan.evaluation.baseline_facts))
    for kind, base, revision, before in asked:
        after, faults, locked = _find_base(project, plan, base, revision)
        finding = _moved_base(kind, base, before, after, faults, plan)
        if finding is not None:
            found.append(finding)
        if after is not None and after.origin == "hub-cache":
            pinned = _COMMIT.fullmatch(revision or "") is not None
            if locked is not None:
                newest, _, _ = _find_base(project, plan, base, revision, by_lock=False)
                found += _moved_upstream(kind, base, after, newest)
            if not pinned:
                unknown.append(
                    f"whether {base} moved on the hub is not known offline; the cache here holds "
                    f"{Path(after.location).name[:12]} as {revision or 'main'}"
                )
    return found, unknown


def _find_base(
    project: Project, plan: Plan, base: str, revision: str | None, *, by_lock: bool = True
) -> tuple[ModelFacts | None, Diagnostics, str | None]:
    """As a plan finds it today; with the revision that the lock names."""
    folder = Path(plan.data.folder)
    lock, _ = read_lock(project.root)
    entry = lock.models.get(model_key(base, revision, folder, project.root)) if lock is not None else None
    locked = entry.revision if entry is not None and by_lock else None
    find = find_decoder if isinstance(plan, LlmPlan) else find_model
    facts, found = find(
        base, revision, folder=folder, store=project.models, cache=project.cache, locked=locked
    )
    return facts, found, locked


def _moved_base(
    kind: DriftKind,
    base: str,
    before: ModelFacts,
    after: ModelFacts | None,
    faults: Diagnostics,
    plan: Plan,
) -> DriftFinding | None:
    subject = f"base model {base}" if kind is DriftKind.MODEL else f"baseline {base}"
    if after is None:
        why = next((f"{each.summary}: {each.detail}" for each in faults if each.is_error), "not found")
        return DriftFinding(
            kind=kind,
            subject=subject,
            severity=_RELEVANT,
            old=_model_text(before),
            new=f"cannot be used: {why}",
            remedy=f"bring it back, or name another one in {plan.spec_path}",
        )
    if before.digest != after.digest:
        return DriftFinding(
            kind=kind,
            subject=subject,
            severity=_RELEVANT,
            old=_model_text(before),
            new=_model_text(after),
            remedy=f"train on it: ftspec apply {shlex.quote(plan.spec_path)}; or name the old one as `revision`",
        )
    old, new = _revision(before), _revision(after)
    if old != new and None not in (old, new):
        return DriftFinding(
            kind=kind,
            subject=subject,
            severity=_INFORMATIONAL,
            old=f"revision {old}",
            new=f"revision {new}, with the same files",
            remedy="none is needed",
        )
    return None


def _moved_upstream(
    kind: DriftKind, base: str, locked: ModelFacts, newest: ModelFacts | None
) -> Iterator[DriftFinding]:
    """What the lock holds back."""
    if newest is None or newest.digest == locked.digest:
        return
    yield DriftFinding(
        kind=kind,
        subject=f"base model {base} upstream",
        severity=_INFORMATIONAL,
        old=f"locked {_model_text(locked)}",
        new=_model_text(newest),
        remedy=f"ftspec.lock holds it; to follow: ftspec lock --upgrade {base}",
    )


def _revision(facts: ModelFacts) -> str | None:
    return resolved_revision(facts.origin, Path(facts.location))


def _model_text(facts: ModelFacts) -> str:
    revision = _revision(facts)
    return f"{f'revision {revision[:12]}, ' if revision else ''}files {short_digest(facts.digest)}"


def _stored(project: Project, plan: Plan, *, quick: bool) -> Iterator[DriftFinding]:
    """The artefacts of its run: gone costs time, altered is evidence that no longer stands."""
    artifacts = Artifacts(project)
    gone: list[str] = []
    for stage in plan.stages:
        if not artifacts.path(stage.name, stage.key).exists():
            gone.append(stage.name)
            continue
        if quick:
            continue
        faults = [each.detail for each in artifacts.verify(stage.name, stage.key)]
        if faults:
            yield DriftFinding(
                kind=DriftKind.ARTIFACT,
                subject=f"stage {stage.name}",
                severity=_RELEVANT,
                old=f"stored {short_digest(stage.key)}",
                new=faults[0] + (f", and {len(faults) - 1} more" if len(faults) > 1 else ""),
                remedy=f"make it again: ftspec apply {shlex.quote(plan.spec_path)}",
            )
    if gone:
        yield DriftFinding(
            kind=DriftKind.ARTIFACT,
            subject=f"stage{'s' if len(gone) > 1 else ''} {', '.join(gone)}",
            severity=_INFORMATIONAL,
            old="stored",
            new="no longer in the store",
            remedy=f"none is needed; ftspec apply {shlex.quote(plan.spec_path)} makes them again",
        )


def drift_of(project: Project, names: Sequence[tuple[str, Path | None]]) -> tuple[DriftReport, Diagnostics]:
    """Of the versions in use of some names, each with its spec where that is known. What could not be looked
    at is told by the diagnostics: specs that cannot be read, FTS631 and FTS632 of the lock."""
    models: list[ModelDrift] = []
    not_made: list[str] = []
    _, found = read_lock(project.root)
    without_lock = (_NO_LOCK,) if found.has_errors else ()
    for name, spec in names:
        used = in_use(project, name)
        if not used:
            not_made.append(name)
        for each in used:
            drift = model_drift(project, each, spec=spec, found=found)
            models.append(replace(drift, unknown=(*drift.unknown, *without_lock)))
    distinct = [each for number, each in enumerate(found) if each not in found.items[:number]]
    return DriftReport(models=tuple(models), not_made=tuple(not_made)), Diagnostics(distinct)
