"""The data stages of a plan, on their own: for what needs the rows and trains nothing."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.inprocess import make_data
from ftspec.driver.inputs import DATA_KINDS, require_unmoved
from ftspec.driver.lookup import stored_stages
from ftspec.plan.codec import HASH_VERSION
from ftspec.plan.model import Action, Plan
from ftspec.plan.stages import data_stages, stage_documents, with_stages
from ftspec.run.events import Event
from ftspec.store.artifacts import Artifact, Artifacts
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project

Observe = Callable[[Event], None]


def make_stored_data(
    plan: Plan, project: Project, *, purpose: str, notify: Notify | None = None
) -> Callable[[str], Artifact]:
    """Run the data stages that the store does not hold, under the project's lease; stage → artefact.

    Raises FtspecError: FTS601 while something else runs, FTS602 when a source moves meanwhile, and what the
    stages find.
    """
    plan = with_stages(plan, stored_stages(project))
    names = data_stages(plan)
    if any(stage.action is Action.RUN for stage in plan.stages if stage.name in names):
        with project_lease(project, purpose, notify=notify):
            run_data(plan, project, lambda event: None)
    keys = {stage.name: stage.key for stage in plan.stages}

    def artifact(name: str) -> Artifact:
        found = Artifacts(project).find(name, keys[name])
        assert found is not None, f"stage {name} was just made"
        return found

    return artifact


def run_data(plan: Plan, project: Project, observe: Observe) -> Callable[[str], Path]:
    """Run the data stages whose action is to run; stage → folder. Call it under the project's lease."""
    artifacts, documents = Artifacts(project), stage_documents(plan)
    stages = {stage.name: stage for stage in plan.stages}
    made = [name for name in data_stages(plan) if stages[name].action is Action.RUN]

    def output(name: str) -> Path:
        return artifacts.path(name, stages[name].key)

    def tell(name: str, event: str, **values: str | int | float | bool | None) -> None:
        observe(Event(time=time.time(), stage=name, event=event, values=values))

    for name in made:

        def progress(done: int, total: int, unit: str, name: str = name) -> None:
            tell(name, "progress", done=done, total=total, unit=unit)

        tell(name, "start")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=project.state, prefix="data-") as scratch:
            out = Path(scratch) / name
            out.mkdir()
            found = make_data(plan, name, output, out, project=project, on_progress=progress)
            if found.has_errors:
                raise FtspecError(*(each for each in found if each.is_error))
            artifacts.publish(name, stages[name].key, out, documents[name], algorithm=HASH_VERSION)
        tell(name, "end", seconds=time.monotonic() - started)
    if made:
        _keep_only_unmoved(plan, project, made, output)
    return output


def _keep_only_unmoved(plan: Plan, project: Project, made: list[str], output: Callable[[str], Path]) -> None:
    """A source that moved while it was read makes artefacts whose key lies."""
    from ftspec.store.files import discard

    try:
        require_unmoved(plan, project, DATA_KINDS)
    except FtspecError:
        for name in made:
            discard(output(name))
        raise
