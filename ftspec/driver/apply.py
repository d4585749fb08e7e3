"""Running a plan: stages in order, each from the store or anew, and the evidence into the ledger."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.driver.compile import with_store
from ftspec.driver.conclude import now, run_evidence_stages
from ftspec.driver.current import current_of
from ftspec.driver.execute import run_data_stages, run_program_stages
from ftspec.driver.inputs import require_unmoved
from ftspec.driver.register import export_target
from ftspec.driver.running import Observe, Run, earlier_seconds, environment_of
from ftspec.evaluate.outcome import ApplyResult, read_result
from ftspec.plan.codec import digest
from ftspec.plan.contract import Contract
from ftspec.plan.facts import Machine
from ftspec.plan.model import Action, Plan
from ftspec.plan.stages import program_stages, stage_documents
from ftspec.plan.text import plan_to_json
from ftspec.store.artifacts import Artifacts
from ftspec.store.files import write_atomically
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.target.model import Target


def apply_plan(
    plan: Plan,
    *,
    spec: Mapping[str, Any],
    project: Project,
    target: Target,
    observe: Observe,
    purpose: str,
    interpreter: Path | None = None,
    notify: Notify | None = None,
    contract: Contract | None = None,
    machine: Machine | None = None,
) -> ApplyResult:
    """Run what the store does not hold yet, and record it. `spec` is the canonical spec, for the ledger.

    Programs run in the `interpreter`, or else in the backend's environment of this project.

    Inputs that move while it runs taint the run: it is recorded and its model registered as tainted, but
    neither becomes current nor is exported, and what was made of them is made again by the next apply.

    Raises FtspecError: FTS602 when an input moved since the plan was made, FTS601 when another apply holds the project, FTS625 when another one took it over in
    the meantime, and whatever stopped the run. `notify` is told of a lease that was taken over. What
    was finished until then stays stored, so that the next apply goes on from there. `contract` is that of a saved
    plan, kept with the run. A version that was registered before becomes current again. `machine` is the one that it runs on, where it was planned for another.
    """
    with project_lease(project, purpose, notify=notify) as lease:
        promised = plan.extends
        plan, told = with_store(plan, project, target, machine=machine, interpreter=interpreter, whole=True)
        plan_digest = digest(plan)
        artifacts = Artifacts(project)
        if all(stage.action is Action.REUSE for stage in plan.stages):
            result = read_result(project, plan, plan_digest)
            if result is not None:
                return result
        require_unmoved(plan, project)  # since it was made; a person may have thought about it for a while
        export_target(plan)  # refused before hours of training, not after
        run = Run(
            project=project,
            plan=plan,
            target=target,
            spec=spec,
            observe=observe,
            interpreter=interpreter,
            artifacts=artifacts,
            documents=stage_documents(plan),
            plan_digest=plan_digest,
            folder=_run_folder(project, plan, plan_digest),
            started=now(),
            lease=lease,
            machine=machine or plan.machine,
        )
        before = current_of(project, plan.name)
        if any(run.runs(name) for name in program_stages(plan)):
            environment_of(run)  # missing packages are told before the data is read
        write_atomically(run.folder / "plan.json", plan_to_json(plan, contract))
        run.seconds.update(earlier_seconds(run.folder))
        if promised is not None and plan.extends != promised:
            for each in told:  # the plan that was shown says otherwise
                run.emit("train", "warning", code=each.code.id, detail=each.detail)
        try:
            run_data_stages(run)
            run_program_stages(run)
            result = run_evidence_stages(run)
        except KeyboardInterrupt:
            raise FtspecError(
                Diagnostic(
                    code=codes.INTERRUPTED,
                    detail=f"run {run.folder.name}",
                    help="`ftspec apply` again goes on from here",
                )
            ) from None
        moved = current_of(project, plan.name) != before
        return replace(result, current_before=before if moved else None)


def _run_folder(project: Project, plan: Plan, plan_digest: str) -> Path:
    """The folder of an unfinished run of this plan, or a new one."""
    from ftspec.run.folder import find_unfinished, new_run_id

    project.create()
    folder = find_unfinished(project, plan_digest)
    if folder is None:
        folder = project.runs / new_run_id(project, plan.name, plan_digest)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
