"""A plan as a folder of its own: data made here, the run for others, without ftspec."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.inprocess import make_data
from ftspec.driver.lookup import stored_stages
from ftspec.lower.lower import LowerInputs, lower
from ftspec.plan.codec import HASH_VERSION
from ftspec.plan.model import Action, Plan
from ftspec.plan.stages import GRAPHS, data_stages, nothing_stored, stage_documents, with_stages
from ftspec.plan.text import plan_to_json
from ftspec.run.events import Event
from ftspec.store.artifacts import Artifacts
from ftspec.store.files import partial_path
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.target.model import Target

Observe = Callable[[Event], None]


def refuse_emit_only(target: Target) -> None:
    """Raises FTS504 for a backend whose run folder is for others to run."""
    if target.emit_only is not None:
        raise FtspecError(
            Diagnostic(
                code=codes.EMIT_ONLY,
                detail=f"{target.name}: {target.emit_only}",
                help="`ftspec eject SPEC --to FOLDER` writes the folder; there, `bash launch.sh` runs it",
            )
        )


def eject_plan(
    plan: Plan,
    *,
    project: Project,
    target: Target,
    folder: Path,
    observe: Observe,
    purpose: str,
    notify: Notify | None = None,
) -> Path:
    """Write the run folder of `plan` to `folder`, which is absent or empty, complete or not at all.

    Data stages run in this process, or come from the store; all stages of the programs are left to the
    folder. Model and data may be hard links to their originals.

    Raises FtspecError: FTS503 when something is there already or the place cannot be written, FTS601 when
    an apply holds the project, and what the data stages find.
    """
    named, folder = folder, folder.absolute()
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise _refused(f"{named} is there, and not an empty folder", "name a new folder")
    project.create()
    with project_lease(project, purpose, notify=notify):
        data = _make_data(with_stages(plan, stored_stages(project)), project, observe)
        whole = with_stages(plan, nothing_stored)
        baseline = plan.evaluation.baseline_facts
        inputs = LowerInputs(
            base_model=Path(plan.model.facts.location),
            baseline_model=None if baseline is None else Path(baseline.location),
            data=data,
        )
        partial = partial_path(folder.parent, folder.name)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _raise(lower(whole, target, inputs, partial)[1])
            (partial / "plan.json").write_text(plan_to_json(whole), encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            partial.rename(folder)
        except OSError as error:
            raise _refused(
                f"{named}: {error.strerror or error}", "name a place that can be written"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _make_data(plan: Plan, project: Project, observe: Observe) -> Path:
    """Run the data stages that the store does not hold; the folder that programs read."""
    artifacts, documents = Artifacts(project), stage_documents(plan)
    stages = {stage.name: stage for stage in plan.stages}

    def output(name: str) -> Path:
        return artifacts.path(name, stages[name].key)

    def tell(name: str, event: str, **values: str | int | float | bool | None) -> None:
        observe(Event(time=time.time(), stage=name, event=event, values=values))

    for name in data_stages(plan):
        if stages[name].action is not Action.RUN:
            continue

        def progress(done: int, total: int, unit: str, name: str = name) -> None:
            tell(name, "progress", done=done, total=total, unit=unit)

        tell(name, "start")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=project.state, prefix="eject-") as scratch:
            out = Path(scratch) / name
            out.mkdir()
            _raise(make_data(plan, name, output, out, project=project, on_progress=progress))
            artifacts.publish(name, stages[name].key, out, documents[name], algorithm=HASH_VERSION)
        tell(name, "end", seconds=time.monotonic() - started)
    return output(GRAPHS[plan.kind].data)


def _refused(detail: str, help: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.EJECT_REFUSED, detail=detail, help=help))


def _raise(diagnostics: Diagnostics) -> None:
    errors = [item for item in diagnostics if item.is_error]
    if errors:
        raise FtspecError(*errors)
