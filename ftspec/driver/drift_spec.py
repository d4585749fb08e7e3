"""The spec of a model that is in use: where it lies today, and whether it can be read."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.inputs import spec_file
from ftspec.driver.names import specs_named
from ftspec.driver.specs import project_specs
from ftspec.plan.drift import DriftFinding, DriftKind, DriftSeverity
from ftspec.plan.model import Plan
from ftspec.source.load import load_document
from ftspec.spec.canonical import spec_hash
from ftspec.spec.check import check_spec
from ftspec.store.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecToday:
    """`path`: where it is, or was. `found`: why it cannot be read; then `unknown` says so, too."""

    path: str
    found: Diagnostics
    findings: tuple[DriftFinding, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def spec_today(project: Project, plan: Plan, *, named: Path | None) -> SpecToday:
    """`named`: the spec of this model that the user named. Without one it is where the run found it, or the
    only other spec of the project that makes a model of this name and kind."""
    path = named or spec_file(plan)
    notes: tuple[str, ...] = ()
    if named is None:
        instead = _makes_another(path, plan)
        if instead:
            elsewhere = specs_named(project_specs(project.root), plan.name, plan.kind)
            if len(elsewhere) != 1:
                return _gone(plan, instead, elsewhere)
            path = _near(elsewhere[0])
            notes = (f"its spec is {path} now; it was {plan.spec_path}",)
    document, found = load_document(path, plan.overrides)
    spec = None
    if document is not None:
        spec, here = check_spec(document)
        found.extend(here)
    if spec is None:
        why = next((f"{each.summary}: {each.detail}" for each in found if each.is_error), "")
        unknown = f"its spec {path} cannot be read, so what it asks for today is not known ({why})"
        return SpecToday(path=str(path), found=found, unknown=(unknown,), notes=notes)
    if spec_hash(spec) != plan.spec_hash:
        notes = (
            *notes,
            f"the spec was edited since: ftspec plan {shlex.quote(str(path))} tells what that means",
        )
    return SpecToday(path=str(path), found=Diagnostics(), notes=notes)


def _makes_another(path: Path, plan: Plan) -> str:
    """What is there in place of the spec; "" where it may be the one, also where it cannot be read."""
    if not path.is_file():
        return "is gone"
    document, _ = load_document(path, plan.overrides)
    metadata = None if document is None else document.tree.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"makes {name} now" if isinstance(name, str) and name != plan.name else ""


def _gone(plan: Plan, instead: str, others: tuple[Path, ...]) -> SpecToday:
    if others:
        names = ", ".join(str(_near(each)) for each in others)
        unknown = f"its spec {plan.spec_path} {instead}, and which of {names} stands for it is not known"
        return SpecToday(path=plan.spec_path, found=Diagnostics(), unknown=(unknown,))
    finding = DriftFinding(
        kind=DriftKind.SPEC,
        subject=f"spec {plan.spec_path}",
        severity=DriftSeverity.RELEVANT,
        old=f"made {plan.name}",
        new=f"{instead}, and no spec of the project makes {plan.name}",
        remedy=f"the model cannot be made again: bring its spec back (git log -- {plan.spec_path}), or delete the model",
    )
    return SpecToday(path=plan.spec_path, found=Diagnostics(), findings=(finding,))


def _near(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
