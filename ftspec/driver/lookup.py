"""Which stages of a plan the store can already answer."""

from pathlib import Path

from ftspec.plan.model import Action
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import Lookup
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project

_REGISTER = "register"


def stored_stages(project: Project) -> Lookup:
    """A stage is reused when its artefact exists, is whole, and its inputs stood still while it was made;
    names and times prove nothing."""
    artifacts = Artifacts(project)

    def lookup(stage: str, key: str) -> tuple[Action, Reason]:
        artifact = artifacts.find(stage, key)
        if artifact is not None and artifact.tainted:
            return Action.RUN, Reason.ARTIFACT_TAINTED
        if artifact is not None and stage != _REGISTER:
            return Action.REUSE, Reason.ARTIFACT_MATCHES
        if artifact is not None and (registered := _registered(project, artifact.path)) is not None:
            return registered
        earlier = project.artifacts / stage
        changed = earlier.is_dir() and any(earlier.iterdir())
        return Action.RUN, Reason.INPUT_CHANGED if changed else Reason.NO_ARTIFACT

    return lookup


def _registered(project: Project, note_folder: Path) -> tuple[Action, Reason] | None:
    """The artefact of `register` is a note: the model that it speaks of may have been deleted (None), or another
    one may be current since, as after a revert."""
    from ftspec.driver.current import is_current
    from ftspec.driver.register import still_holds

    if not still_holds(project, note_folder):
        return None
    if not is_current(project, note_folder):
        return Action.RUN, Reason.VERSION_NOT_CURRENT
    return Action.REUSE, Reason.ARTIFACT_MATCHES
