"""Does a saved plan still describe this world? Bound to content: times and paths prove nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.plan.codec import digest
from ftspec.plan.facts import SourceFacts
from ftspec.plan.fields import leaves
from ftspec.plan.model import Plan
from ftspec.store.project import Project


def check_fresh(
    plan: Plan, *, project: Project, hardware_name: str | None = None
) -> tuple[Compilation | None, Diagnostics]:
    """Compile the plan's spec again, for this machine or the named one, and compare. FTS602 for each thing
    that moved."""
    path = Path(plan.spec_path)
    if not path.is_file():
        path = Path(plan.data.folder) / path.name
    compiled, found = compile_spec(
        path, project=project, overrides=plan.overrides, hardware_name=hardware_name
    )
    if compiled is None:
        found.add(
            codes.STALE_PLAN,
            "the spec that the plan was made from no longer compiles here",
            help=f"mend it, then: ftspec plan {plan.spec_path} --out FILE",
        )
        return None, found
    if digest(compiled.plan) == digest(plan):
        return compiled, found
    for moved in _moved(plan, compiled.plan):
        found.add(codes.STALE_PLAN, moved, help=f"review a new one: ftspec plan {plan.spec_path} --out FILE")
    return (None if found.has_errors else compiled), found


def _moved(old: Plan, new: Plan) -> Iterator[str]:
    """Causes first; consequences only when no cause is found."""
    causes = [*_causes(old, new)]
    if causes:
        yield from causes
        return
    named = _changed(old, new, lambda path: True)
    yield f"this version of ftspec decides otherwise: {named or 'its decisions differ'}"


def _changed(old: Plan, new: Plan, wanted: Callable[[str], bool]) -> str:
    """At most three leaves with their old and new values."""
    before, after = dict(leaves(old)), dict(leaves(new))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    named = [f"{path}: {before.get(path)} → {after.get(path)}" for path in paths if wanted(path)]
    return ", ".join(named[:3])


def _causes(old: Plan, new: Plan) -> Iterator[str]:
    if old.spec_hash != new.spec_hash:
        named = _changed(old, new, lambda path: not path.startswith("execution."))
        yield f"spec {old.spec_path}: {named or 'its text means something else'}"
    if old.model.facts.digest != new.model.facts.digest:
        yield f"base model {old.model.base}: {_short(old.model.facts.digest)} → {_short(new.model.facts.digest)}"
    before, after = old.evaluation.baseline_facts, new.evaluation.baseline_facts
    if before is not None and after is not None and before.digest != after.digest:
        yield f"baseline {old.evaluation.baseline}: {_short(before.digest)} → {_short(after.digest)}"
    if old.data.facts.digest != new.data.facts.digest:
        yield from _moved_sources(old.data.facts.sources, new.data.facts.sources)
    if old.machine.digest != new.machine.digest:
        yield f"hardware: planned for {old.machine.summary}, this is {new.machine.summary}"


def _moved_sources(old: tuple[SourceFacts, ...], new: tuple[SourceFacts, ...]) -> Iterator[str]:
    for before, after in zip(old, new, strict=False):
        if before.digest != after.digest:
            yield f"data source {before.label}: {before.rows} rows {_short(before.digest)} → {after.rows} rows {_short(after.digest)}"
    if len(old) != len(new):
        yield f"data sources: {len(old)} → {len(new)}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
