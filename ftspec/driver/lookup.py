"""Which stages of a plan the store can already answer."""

from ftspec.plan.model import Action
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import Lookup
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project


def stored_stages(project: Project) -> Lookup:
    """A stage is reused when its artefact exists, is whole, and its inputs stood still while it was made;
    names and times prove nothing."""
    artifacts = Artifacts(project)

    def lookup(stage: str, key: str) -> tuple[Action, Reason]:
        artifact = artifacts.find(stage, key)
        if artifact is not None and artifact.tainted:
            return Action.RUN, Reason.ARTIFACT_TAINTED
        if artifact is not None and _is_registered(project, artifacts, stage, key):
            return Action.REUSE, Reason.ARTIFACT_MATCHES
        earlier = project.artifacts / stage
        changed = earlier.is_dir() and any(earlier.iterdir())
        return Action.RUN, Reason.INPUT_CHANGED if changed else Reason.NO_ARTIFACT

    return lookup


def _is_registered(project: Project, artifacts: Artifacts, stage: str, key: str) -> bool:
    """The artefact of `register` is a note; the model that it speaks of may have been deleted."""
    if stage != "register":
        return True
    from ftspec.driver.register import still_holds

    return still_holds(project, artifacts.path(stage, key))
