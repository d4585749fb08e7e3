"""From the text of a spec to a plan: the front half of the compiler, in one call."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.codes import SYNTH_MISSING
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.driver.calibrate import calibrations
from ftspec.driver.facts import World, gather
from ftspec.driver.lookup import stored_stages
from ftspec.hardware.model import Hardware
from ftspec.plan.continuation import extendable
from ftspec.plan.extension import with_extension
from ftspec.plan.facts import Machine
from ftspec.plan.invariants import check_complete
from ftspec.plan.model import Plan
from ftspec.plan.stages import with_stages
from ftspec.source.load import Document, load_document
from ftspec.spec.check import check_spec
from ftspec.spec.kinds import AnySpec
from ftspec.store.project import Project
from ftspec.target.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """A plan and what it was made from."""

    plan: Plan
    spec: AnySpec
    document: Document
    world: World
    runs_on: Machine | None = None  # another machine than the one that it was planned for


def compile_spec(
    path: Path,
    *,
    project: Project,
    overrides: Sequence[str] = (),
    hardware_name: str | None = None,
    hardware: Hardware | None = None,
    upgrade: Collection[str] = (),
) -> tuple[Compilation | None, Diagnostics]:
    """validate → gather facts → resolve → passes → stages.

    Writes nothing but caches, executes nothing from spec, model or data, and uses no network. `hardware` and
    `upgrade` are those of `gather`.
    """
    found = Diagnostics()
    document, here = load_document(path, overrides)
    found.extend(here)
    if document is None:
        return None, found
    compiled, here = compile_document(
        document,
        path,
        project=project,
        overrides=overrides,
        hardware_name=hardware_name,
        hardware=hardware,
        upgrade=upgrade,
    )
    found.extend(here)
    return compiled, found


def compile_document(
    document: Document,
    path: Path,
    *,
    project: Project,
    overrides: Sequence[str] = (),
    hardware_name: str | None = None,
    hardware: Hardware | None = None,
    upgrade: Collection[str] = (),
) -> tuple[Compilation | None, Diagnostics]:
    """The same for a text that was read already; `path` is what the plan calls its spec."""
    found = Diagnostics()
    spec, here = check_spec(document)
    found.extend(here)
    if spec is None or found.has_errors:
        return None, found
    world, here = gather(
        spec,
        folder=document.folder,
        project=project,
        hardware_name=hardware_name,
        hardware=hardware,
        upgrade=upgrade,
    )
    found.extend(_placed(each, document, path) for each in here)
    if world is None:
        return None, found
    plan, here = plan_for(spec, document, world, project=project, path=path, overrides=overrides)
    found.extend(here)
    if plan is None or found.has_errors:
        return None, found
    target = next(each for each in world.targets if each.name == plan.execution.backend)
    plan, here = with_store(plan, project, target)
    found.extend(here)
    return Compilation(plan=plan, spec=spec, document=document, world=world), found


def with_store(
    plan: Plan,
    project: Project,
    target: Target,
    *,
    machine: Machine | None = None,
    interpreter: Path | None = None,
    whole: bool = False,
) -> tuple[Plan, Diagnostics]:
    """The plan with what the store holds of it: outputs of stages, and a shorter training to go on from.
    `machine`: that it runs on, where it was planned for another. `interpreter` and `whole` as for `find_extension`.
    """
    plan = with_stages(plan, stored_stages(project))
    if not extendable(plan) or not project.runs.is_dir():
        return with_extension(plan, None), Diagnostics()
    from ftspec.driver.extension import find_extension

    extension, found = find_extension(
        plan,
        project,
        target,
        machine_digest=(machine or plan.machine).digest,
        interpreter=interpreter,
        whole=whole,
    )
    return with_extension(plan, extension), found


def _placed(found: Diagnostic, document: Document, path: Path) -> Diagnostic:
    """With the place of the key that it is about; and the path, where a command of it is the remedy."""
    if found.code is SYNTH_MISSING:
        found = replace(found, help=f"ftspec synth {shlex.quote(str(path))}")
    if found.primary is not None or not found.about:
        return found
    return replace(found, primary=document.span(found.about))


def plan_for(
    spec: AnySpec,
    document: Document,
    world: World,
    *,
    project: Project,
    path: Path,
    overrides: Sequence[str],
) -> tuple[Plan | None, Diagnostics]:
    """Resolve and optimise, for one machine."""
    from ftspec.passes.context import Context
    from ftspec.passes.driver import optimise
    from ftspec.resolve.first_plan import first_plan
    from ftspec.resolve.origins import given_spans

    first, found = first_plan(
        spec,
        document,
        world.model,
        world.data,
        world.hardware,
        spec_path=str(path),
        overrides=tuple(overrides),
        baseline_facts=world.baseline,
    )
    if first is None or found.has_errors:
        return None, found
    context = Context(
        hardware=world.hardware,
        targets=world.targets,
        spans=given_spans(first, document),
        calibrations=calibrations(
            project, machine_digest=first.machine.digest, model_digest=first.model.facts.digest
        ),
    )
    plan, here = optimise(first, context)
    found.extend(here)
    if plan is None or found.has_errors:
        return None, found
    check_complete(plan)
    return plan, found
