"""A plan as a folder of its own: data made here, the run for others, without ftspec."""

import shutil
from collections.abc import Callable
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.lookup import stored_stages
from ftspec.driver.stored_data import run_data
from ftspec.lower.lower import LowerInputs, lower
from ftspec.plan.model import Plan
from ftspec.plan.stages import GRAPHS, nothing_stored, with_stages
from ftspec.plan.text import plan_to_json
from ftspec.run.events import Event
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
        output = run_data(with_stages(plan, stored_stages(project)), project, observe)
        data = output(GRAPHS[plan.kind].data)
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


def _refused(detail: str, help: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.EJECT_REFUSED, detail=detail, help=help))


def _raise(diagnostics: Diagnostics) -> None:
    errors = [item for item in diagnostics if item.is_error]
    if errors:
        raise FtspecError(*errors)
