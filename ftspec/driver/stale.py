"""Does a saved plan still describe this world? Bound to content: times and paths prove nothing."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.driver.contract import commit_moved, production_of
from ftspec.driver.facts import read_hardware
from ftspec.driver.lock import backend_packages
from ftspec.driver.moved import moved_parts, moved_spec
from ftspec.hardware.model import Hardware, hardware_from_facts
from ftspec.plan.codec import digest
from ftspec.plan.contract import Contract, Production
from ftspec.plan.lock_changes import moved_packages
from ftspec.plan.model import Action, Plan
from ftspec.plan.text import SavedPlan
from ftspec.store.lockfile import LOCK_NAME
from ftspec.store.project import Project


def check_fresh(
    saved: SavedPlan, *, project: Project, hardware_name: str | None = None, run_here: bool = True
) -> tuple[Compilation | None, Diagnostics]:
    """Compile the plan's spec again, for the machine that it was made for, and compare. The result is the plan
    as it was saved, with the places of this machine.

    FTS602 for each thing that moved. Other hardware is FTS602 only where it cannot run the plan as it stands.
    `hardware_name` is the machine that it is to run on, or this one. Without `run_here` it is only written out:
    no machine needs to fit, and neither packages nor production count.
    """
    plan, contract = saved.plan, saved.contract
    found = Diagnostics()
    hardware: Hardware | None = None
    if run_here or hardware_name is not None:
        hardware, found = read_hardware(hardware_name)
        if hardware is None:
            return None, found
    planned = hardware_from_facts(plan.machine.name, plan.machine.facts, plan.machine.digest)
    compiled, here = compile_spec(
        spec_path(plan),
        project=project,
        overrides=plan.overrides,
        hardware_name=hardware_name,
        hardware=planned or hardware,
    )
    found.extend(here)
    if compiled is None:
        found.items.append(_why_not(plan, found))
        return None, found
    review = f"review a new one: ftspec plan {shlex.quote(plan.spec_path)} --out FILE"
    if digest(compiled.plan) != digest(plan):
        for detail in moved_parts(saved, compiled, project):
            found.add(codes.STALE_PLAN, detail, help=review)
    if hardware is not None:
        compiled = _on(hardware, compiled, found)
    if contract is not None and run_here:
        _check_packages(contract, compiled, project, found)
        _check_production(contract, plan.name, project, found, review)
        _note_commit(contract, compiled, found)
    if run_here:
        _note_extension(plan, compiled.plan, found)
    if contract is None and run_here and not found.has_errors:
        found.add(
            codes.NO_CONTRACT,
            "packages, production and commit are not compared",
            help=f"ftspec plan {shlex.quote(plan.spec_path)} --out FILE",
        )
    return (None if found.has_errors else compiled), found


def _why_not(plan: Plan, found: Diagnostics) -> Diagnostic:
    """FTS602 for a spec that is gone, for one that compiles, were it not for the lock, and for one with faults."""
    again = f"ftspec plan {shlex.quote(plan.spec_path)} --out FILE"
    if not spec_path(plan).is_file():
        return Diagnostic(
            code=codes.STALE_PLAN,
            detail=f"its spec {plan.spec_path} is not here: it was deleted or renamed since, or this is another commit",
            help="bring it back, or plan the spec under its new name: ftspec plan SPEC --out FILE",
        )
    of_lock = (codes.LOCK_NOT_READABLE, codes.LOCK_VERSION)
    if all(each.code in of_lock for each in found if each.is_error):
        return Diagnostic(
            code=codes.STALE_PLAN,
            detail=f"{LOCK_NAME} cannot be read, so nothing can be compared with it; the spec itself was not looked at",
            help=f"mend {LOCK_NAME}; the plan may well be good then",
        )
    return Diagnostic(
        code=codes.STALE_PLAN,
        detail="the spec that the plan was made from no longer compiles here",
        help=f"mend it, then: {again}",
    )


def spec_path(plan: Plan) -> Path:
    """Where the spec of a plan lies now: where it was named from, or else in the folder that it was in."""
    path = Path(plan.spec_path)
    return path if path.is_file() else Path(plan.data.folder) / path.name


def _on(hardware: Hardware, compiled: Compilation, found: Diagnostics) -> Compilation:
    """The compilation with the machine that it runs on, where that is another one."""
    from ftspec.passes.stand_in import unmet
    from ftspec.resolve.first_plan import machine_of

    plan = compiled.plan
    if plan.machine.digest == hardware.digest():
        return compiled
    lacking = unmet(plan, hardware, compiled.world.targets)
    there, here = plan.machine.summary, hardware.summary()
    if lacking:
        found.add(
            codes.STALE_PLAN,
            f"hardware: planned for {there}, this is {here}; the plan asks for {'; and for '.join(lacking)}",
            help=f"run it on such a machine, or review a new one: ftspec plan {shlex.quote(plan.spec_path)} --out FILE",
        )
    elif not found.has_errors:
        found.add(
            codes.OTHER_HARDWARE, f"planned for {there}; this is {here}, which has all that it asks for"
        )
    return replace(compiled, runs_on=machine_of(hardware))


def _check_packages(contract: Contract, compiled: Compilation, project: Project, found: Diagnostics) -> None:
    """A refusal on the machine that it was planned on; on another one, whose packages are its own, a note."""
    now = backend_packages(compiled, project)
    if not contract.packages or not now:
        return
    backend = compiled.plan.execution.backend or ""
    moved = [change.sentence() for change in moved_packages(contract.packages, now, backend)]
    if compiled.runs_on is not None:
        if moved and not found.has_errors:
            found.add(codes.PLAN_ELSEWHEN, f"packages of another machine: {'; '.join(moved)}")
        return
    for sentence in moved:
        found.add(
            codes.STALE_PLAN,
            f"{sentence}, which may change numbers",
            help=f"install what it was planned with, or: ftspec plan {shlex.quote(compiled.plan.spec_path)} --out FILE",
        )


def _check_production(
    contract: Contract, name: str, project: Project, found: Diagnostics, review: str
) -> None:
    try:
        now = production_of(project, name)
    except FtspecError as error:
        found.extend(error.diagnostics)
        return
    if now != contract.production:
        found.add(
            codes.STALE_PLAN,
            f"production of {name}: {_told(contract.production)} → {_told(now)}",
            help=f"see `ftspec history {name}`; {review}",
        )


def _told(production: Production | None) -> str:
    if production is None:
        return "nothing"
    return f"{production.version} ({production.digest.removeprefix('sha256:')[:12]})"


def _note_commit(contract: Contract, compiled: Compilation, found: Diagnostics) -> None:
    """The commit alone makes no plan stale: what it is made from is compared by content."""
    detail = commit_moved(contract, compiled.document.folder)
    if detail and not found.has_errors:
        found.add(codes.PLAN_ELSEWHEN, detail)


def _note_extension(planned: Plan, now: Plan, found: Diagnostics) -> None:
    """Where a training begins is not part of what was promised, but was shown with what it costs."""
    waits = any(stage.name == "train" and stage.action is Action.RUN for stage in now.stages)
    told = any(each.code == codes.NOT_EXTENDED for each in found)
    if planned.extends is None or now.extends is not None or not waits or told or found.has_errors:
        return
    found.add(
        codes.NOT_EXTENDED,
        f"it was planned to go on from step {planned.extends.step:,} of run {planned.extends.run_id}, "
        "which is not stored in this project, or not for this machine",
    )


def warn_if_moved(saved: SavedPlan) -> Iterator[str]:
    """What can be told at once, for showing: that the spec's text means something else by now."""
    from ftspec.source.load import load_document
    from ftspec.spec.canonical import canonical_text
    from ftspec.spec.check import check_spec

    path = spec_path(saved.plan)
    if not path.is_file() or saved.contract is None:
        return
    document, _ = load_document(path, saved.plan.overrides)
    spec = None if document is None else check_spec(document)[0]
    if spec is None:
        yield f"{saved.plan.spec_path} is no sound spec any more"
    elif canonical_text(spec) != saved.contract.spec:
        yield moved_spec(saved.contract.spec, canonical_text(spec), saved.plan.spec_path)
