"""Which finished training of this project a plan can go on from, and whether its last state is still there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.planfile import read_plan_file
from ftspec.plan.codec import digest, hash_of
from ftspec.plan.continuation import Form, continuation, extendable
from ftspec.plan.extension import STATE, state_document
from ftspec.plan.model import Action, Extension, Plan
from ftspec.run.folder import find_unfinished
from ftspec.store.artifacts import Artifacts
from ftspec.store.extension import read_extension
from ftspec.store.project import Project
from ftspec.store.run_record import RunRecord, all_records
from ftspec.target.environments import BackendEnvironment, EnvironmentKind, examine, find_environment
from ftspec.target.features import Feature
from ftspec.target.model import Target

_WORDS = {"machine": "another machine", "checks": "other checks"}


def keeps_state(plan: Plan, target: Target) -> bool:
    """Whether the last state of this training is worth its place on the disk: something can go on from it."""
    return extendable(plan) and target.supports(Feature.EXTEND, plan.execution.device)


def versions_in(environment: BackendEnvironment) -> dict[str, str]:
    """What decides the arithmetic of a program."""
    return {"python": environment.python or "", **environment.versions}


def find_extension(
    plan: Plan,
    project: Project,
    target: Target,
    *,
    machine_digest: str,
    interpreter: Path | None = None,
    whole: bool = False,
) -> tuple[Extension | None, Diagnostics]:
    """The longest finished training that is the beginning of the plan's, and whose last state is stored and can
    be used on the machine and by the `interpreter` (None: that of the project's environment) where the plan runs.
    `whole`: every byte of the state is read.

    An unfinished run of the plan that is as far by itself goes on as it began: with what it extends, or at its start.
    A note FTS688 where there is such a training, its state cannot be used, and nothing else is gone on from.
    """
    found = Diagnostics()
    waits = any(stage.name == "train" and stage.action is Action.RUN for stage in plan.stages)
    if not waits or not extendable(plan):
        return None, found
    begins_with, own_step = _unfinished(plan, project)
    shorter = [each for each in _beginnings(plan, project) if (each.estimate.train_steps or 0) > own_step]
    shorter.sort(key=lambda each: -(each.estimate.train_steps or 0))
    if not shorter:
        return begins_with, found
    environment = (
        find_environment(project.state, target)
        if interpreter is None
        else examine(target, interpreter, EnvironmentKind.NAMED)
    )
    if environment is None or not environment.usable:
        return begins_with, found  # nothing runs here, which is told elsewhere
    told = ""
    for record in shorter:
        wanted = state_document(
            plan, train_key_of(record), machine_digest=machine_digest, versions=versions_in(environment)
        )
        why = _obstacle(wanted, project, target, plan.execution.device, whole=whole)
        if not why:
            assert record.estimate.train_steps is not None
            return Extension(run_id=record.run_id, step=record.estimate.train_steps), found
        told = told or (
            f"run {record.run_id} is the beginning of this training, step by step "
            f"({record.estimate.train_steps:,} of {plan.train.total_steps:,} steps), but {why}"
        )
    if not own_step:
        found.add(codes.NOT_EXTENDED, told)
    return begins_with, found


def _unfinished(plan: Plan, project: Project) -> tuple[Extension | None, float]:
    """What an unfinished run of the plan extends, and the step that it goes on from; 0: it begins at its start."""
    from ftspec.lower.state import begun

    folder = find_unfinished(project, digest(plan))
    own = None if folder is None else begun(folder, train_key(plan))
    return (None, 0) if own is None else (read_extension(own[0]), own[1])


def train_key(plan: Plan) -> str:
    return next(stage.key for stage in plan.stages if stage.name == "train")


def train_key_of(record: RunRecord) -> str:
    key = record.stage_key("train")
    assert key is not None, "every run has this stage"
    return key


def _beginnings(plan: Plan, project: Project) -> Iterator[RunRecord]:
    """Runs that trained what the plan extends, the newest first."""
    records, _ = all_records(project)
    for record in reversed(records):
        steps = record.estimate.train_steps
        if record.kind != plan.kind or record.base_model_digest != plan.model.facts.digest or record.tainted:
            continue
        if steps is None or steps >= plan.train.total_steps:
            continue
        if not any(stage.name == "train" and stage.action == Action.RUN for stage in record.stages):
            continue
        old, _ = read_plan_file(project.root / record.plan_path)
        if old is not None and continuation(old, plan).form is Form.EXTEND:
            yield record


def _obstacle(
    wanted: Mapping[str, Any], project: Project, target: Target, device: str | None, *, whole: bool
) -> str:
    """Why the state of this document cannot be used, in words; empty: it can."""
    if not target.supports(Feature.EXTEND, device):
        return f"{target.name} cannot go on from it: {target.support_of(Feature.EXTEND, device).why}"
    artifacts, key = Artifacts(project), hash_of(wanted)
    if artifacts.find(STATE, key) is not None:
        altered = whole and artifacts.verify(STATE, key).has_errors
        return "its last state was altered in the store" if altered else ""
    if artifacts.path(STATE, key).is_dir():
        return "its last state was altered in the store"
    kept = [each.document for each in artifacts.all() if each.stage == STATE]
    others = [each for each in kept if each.get("train") == wanted["train"]]
    if not others:
        return "its last state is not stored"
    return f"its last state was made by {_difference(others[0], wanted)}"


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    for name, words in _WORDS.items():
        if old.get(name) != new[name]:
            return words
    for name, words in (("packages", "other packages"), ("execution", "other settings of the machine")):
        one, other = old.get(name) or {}, new[name]
        moved = [
            f"{each} {one.get(each)} → {other.get(each)}"
            for each in sorted({*one, *other})
            if one.get(each) != other.get(each)
        ]
        if moved:
            return f"{words} ({'; '.join(moved[:3])})"
    return "an earlier version of ftspec"
