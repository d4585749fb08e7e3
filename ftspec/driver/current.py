"""Which registered version of a name is current: that of the spec which was applied last."""

from collections.abc import Iterator
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.plan.model import Action, Plan, Stage
from ftspec.plan.reasons import Reason
from ftspec.store.project import Project


def is_current(project: Project, note_folder: Path) -> bool:
    """False when the artefact of stage `register` speaks of a version, and another one is current. What
    `models merge` made of a version stands for it."""
    from ftspec.driver.register import registered_model
    from ftspec.store.registry import find_model_version

    model = registered_model(project, note_folder)
    if model is None:
        return True
    present, _ = find_model_version(project, model.name)
    while present is not None and present.version != model.version:
        source = present.meta.get("merged_from")
        present = None if source is None else find_model_version(project, model.name, str(source))[0]
    return present is not None


def moves_of_current(plan: Plan, project: Project) -> Iterator[Diagnostic]:
    """FTS687 where applying the plan makes a version current that was registered before."""
    for stage in plan.stages:
        if stage.reason is Reason.VERSION_NOT_CURRENT:
            alone = all(each is stage or each.action is Action.REUSE for each in plan.stages)
            yield _move(plan, stage, project, ", nothing else runs" if alone else "")


def current_of(project: Project, name: str) -> str | None:
    from ftspec.store.registry import current_version

    return current_version(project.models / name)


def _move(plan: Plan, stage: Stage, project: Project, rest: str) -> Diagnostic:
    from ftspec.driver.register import registered_model
    from ftspec.store.artifacts import Artifacts

    model = registered_model(project, Artifacts(project).path(stage.name, stage.key))
    assert model is not None, "that it is there is the reason"
    before = current_of(project, plan.name)
    if before is None:
        moves = f"nothing is current; {model.version} becomes it"
    else:
        back = "back " if int(before[1:]) > model.number else ""
        moves = f"current moves from {before} {back}to {model.version}"
    return Diagnostic(code=codes.CURRENT_MOVES, detail=f"{plan.name}: {moves}{rest}")
