"""`ftspec plan --all`: every spec of a project, or those that changed since a revision, each held against what
it was there. Faults of one spec stop no other."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.driver.contract import contract_of
from ftspec.driver.current import moves_of_current
from ftspec.driver.diff import difference
from ftspec.driver.drift import plan_drift
from ftspec.driver.facts import read_hardware
from ftspec.driver.lock import needs_of
from ftspec.driver.lock_check import check_lock
from ftspec.driver.names import name_clashes
from ftspec.driver.plan_files import PlanFiles, file_names, in_the_way
from ftspec.driver.sides import Reading, lock_side, read_side, read_spec_of
from ftspec.driver.since import ChangedSpec, changed_specs
from ftspec.driver.specs import project_specs, shown
from ftspec.plan.codec import digest
from ftspec.plan.difference import Difference
from ftspec.plan.drift import ModelDrift
from ftspec.plan.lock_changes import changes_between
from ftspec.plan.planset import PlannedSpec, PlanSet, SpecState
from ftspec.plan.text import plan_to_json
from ftspec.store.lockfile import lock_path, parse_lock, read_lock
from ftspec.store.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked. `below`: the folder whose specs are meant; None: the project's root."""

    project: Project
    since: str | None = None
    below: Path | None = None
    hardware_name: str | None = None
    locked: bool | None = None
    folder: Path | None = None  # for the plan files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    repository: git.Repository
    commit: str
    revision: str


def plan_all(wish: Wish) -> tuple[PlanSet | None, Diagnostics]:
    """None only where nothing can be compared: no repository, no such revision (FTS670, FTS671), or planned: no
    such machine (FTS309), or written without loss (FTS674): then all is left as it was. Faults of single specs
    stand with them."""
    root = wish.below or wish.project.root
    repository, found = git.find_repository(root)
    past: _Past | None = None
    notes: tuple[str, ...] = ()
    if wish.since is None:
        found = Diagnostics()
    elif repository is not None:
        base, here = git.base_of(repository, wish.since)
        found.extend(here)
        notes = tuple(each.detail for each in here)
        if base is not None:
            past = _Past(repository=repository, commit=base, revision=wish.since)
    if wish.hardware_name is not None:
        found.extend(read_hardware(wish.hardware_name)[1])
    if found.has_errors:
        return None, found
    specs = project_specs(root)
    names = file_names(specs, root)
    if wish.folder is not None:
        found = in_the_way(wish.folder, names.values())
        if found.has_errors:
            return None, found
    if past is None:
        planned = [_planned(wish, path) for path in specs]
    else:
        assert wish.since is not None
        changed, _ = changed_specs(wish.since, project=wish.project, below=root)
        planned = [_compared(wish, past, each) for each in changed or ()]
        planned += _relocked(wish, past, specs, {Path(each.path) for each, _ in planned})
        planned += _lock(wish, past)
    planned = _without_chains(_without_clashes(planned, specs))
    planned = [(replace(each, drift=_drift(wish, each)), compiled) for each, compiled in planned]
    if wish.folder is not None:
        planned = _written(wish, wish.folder, planned, names)
    ordered = sorted((each for each, _ in planned), key=lambda each: each.order)
    return PlanSet(
        specs=tuple(ordered),
        unchanged=len({shown(path) for path in specs} - {Path(each.path) for each in ordered}),
        revision=wish.since,
        base=None if past is None else past.commit,
        head=None if repository is None else git.head(repository.top),
        folder=None if wish.folder is None else str(wish.folder),
        notes=notes if specs or ordered else (*notes, f"there is no spec below {root.name or root}"),
    ), Diagnostics()


_Made = tuple[PlannedSpec, Compilation | None]


def _planned(wish: Wish, path: Path) -> _Made:
    """A spec alone."""
    compiled, found = _compile(wish, path)
    state = SpecState.FAILED if compiled is None else SpecState.PLANNED
    return _entry(path, state, compiled, found), compiled


def _compared(wish: Wish, past: _Past, change: ChangedSpec) -> _Made:
    """A spec and what it was."""
    if change.status == "deleted":
        return PlannedSpec(path=str(shown(change.path)), state=SpecState.DELETED), None
    because = tuple(name for name in change.because if name not in (change.inside, change.old))
    compiled, found = _compile(wish, change.path)
    if compiled is None:
        return replace(_entry(change.path, SpecState.FAILED, None, found), because=because), None
    if change.old is None:
        return _entry(change.path, SpecState.NEW, compiled, found), compiled
    is_renamed = change.status == "renamed"
    made, notes = _difference(wish, past, change.old, change.path)
    return replace(
        _entry(change.path, SpecState.RENAMED if is_renamed else SpecState.CHANGED, compiled, found),
        old_path=str(change.old_path) if is_renamed else None,
        because=because,
        difference=made,
        notes=notes,
    ), compiled


def _lock(wish: Wish, past: _Past) -> list[_Made]:
    """The lock of the project, where it is not what it was: it decides what names of models and data mean."""
    path = lock_path(wish.project.root)
    if not any(each.status == "changed" for each in git.changed_files(past.repository, past.commit, [path])):
        return []
    with ExitStack() as stack:
        reading = Reading(project=wish.project, stack=stack)
        after = read_side(str(shown(path)), reading)
        if after is None:
            found = tuple(reading.found)
            return [
                (PlannedSpec(path=str(shown(path)), state=SpecState.FAILED, found=found, is_lock=True), None)
            ]
        raw, _ = git.show(past.repository, past.commit, path)
        text = (raw or b"").decode("utf-8", "replace")
        before = lock_side(text, f"{past.revision}:{path.name}", reading)
        if before is None:
            return []  # what it was is of no use, and has no say in what it is
        made = difference(before, after, project=wish.project)
    return [
        (PlannedSpec(path=str(shown(path)), state=SpecState.CHANGED, difference=made, is_lock=True), None)
    ]


def _relocked(wish: Wish, past: _Past, specs: Sequence[Path], seen: set[Path]) -> list[_Made]:
    """Specs that did not change themselves, but whose model the lock now names in another revision. What they
    were cannot be planned without the earlier revision: all that is not stored counts."""
    path = lock_path(wish.project.root)
    raw, _ = git.show(past.repository, past.commit, path)
    before = None if raw is None else parse_lock(raw.decode("utf-8", "replace"), path.name)[0]
    after = read_lock(wish.project.root)[0]
    if before is None or after is None or before.models == after.models:
        return []
    moved = [
        each.key
        for each in changes_between(before, after)
        if (each.section, each.change) == ("model", "moved")
    ]
    made: list[_Made] = []
    for spec in specs:
        if shown(spec) in seen:
            continue
        compiled, found = _compile(wish, spec)
        names = [] if compiled is None else _locked_models(compiled, wish.project)
        mine = [key for key in moved if key in names]
        if mine:
            note = f"{path.name} names another revision of {', '.join(mine)}; what it was is not compared"
            entry = _entry(spec, SpecState.CHANGED, compiled, found)
            made.append((replace(entry, because=(path.name,), notes=(note,)), compiled))
    return made


def _locked_models(compiled: Compilation, project: Project) -> list[str]:
    needs, _ = needs_of(compiled, project, here=False)
    return [] if needs is None else [each.key for each in needs.models]


def _without_chains(planned: list[_Made]) -> list[_Made]:
    """A spec that starts from a model which another one of these makes anew can only be planned after that."""
    makers = {each.name: each.path for each, compiled in planned if compiled is not None and each.running}
    made: list[_Made] = []
    for each, compiled in planned:
        facts = None if compiled is None else compiled.plan.model.facts
        base = "" if facts is None or facts.origin != "store" else facts.id.partition("@")[0]
        if base in makers and makers[base] != each.path:
            note = f"its base `{base}` is made by {makers[base]}, which changes too: plan it again when that was applied"
            each, compiled = replace(each, notes=(*each.notes, note)), None  # no plan file  # noqa: PLW2901
        made.append((each, compiled))
    return made


def _without_clashes(planned: list[_Made], specs: Sequence[Path]) -> list[_Made]:
    """Of two specs with one name neither can be applied, also where only one of them changed."""
    clashes = name_clashes([shown(path) for path in specs])
    made: list[_Made] = []
    for each, compiled in planned:
        clash = clashes.get(Path(each.path))
        if clash is not None:
            kept = PlannedSpec(
                path=each.path,
                state=SpecState.FAILED,
                name=each.name,
                because=each.because,
                found=(*each.found, clash),
            )
            each, compiled = kept, None  # noqa: PLW2901
        made.append((each, compiled))
    return made


def _drift(wish: Wish, spec: PlannedSpec) -> tuple[ModelDrift, ...]:
    return () if spec.plan is None else plan_drift(wish.project, spec.plan.name, Path(spec.path))


def _compile(wish: Wish, path: Path) -> tuple[Compilation | None, Diagnostics]:
    compiled, found = compile_spec(shown(path), project=wish.project, hardware_name=wish.hardware_name)
    if compiled is not None:
        found.extend(check_lock(compiled, wish.project, locked=wish.locked, here=wish.hardware_name is None))
        found.extend(moves_of_current(compiled.plan, wish.project))
    return (None if found.has_errors else compiled), found


def _entry(path: Path, state: SpecState, compiled: Compilation | None, found: Diagnostics) -> PlannedSpec:
    return PlannedSpec(
        path=str(shown(path)),
        state=state,
        name="" if compiled is None else compiled.plan.name,
        plan=None if compiled is None else compiled.plan,
        digest=None if compiled is None else digest(compiled.plan),
        found=tuple(found),
    )


def _difference(
    wish: Wish, past: _Past, inside: str, path: Path
) -> tuple[Difference | None, tuple[str, ...]]:
    """What changed, or None with a sentence where the earlier version cannot be read."""
    with ExitStack() as stack:
        reading = Reading(project=wish.project, stack=stack, hardware_name=wish.hardware_name)
        before = read_spec_of(
            past.repository,
            past.commit,
            past.repository.top / inside,
            past.revision,
            reading,
            label=f"{past.revision}:{inside}",
            hardware=wish.hardware_name,
        )
        if before is None:
            why = next((f"{each.summary}: {each.detail}" for each in reading.found if each.is_error), "")
            return None, (f"what it was in {past.revision} cannot be read ({why}), so it is shown as new",)
        after = read_side(str(shown(path)), reading)
        assert after is not None, "it was compiled a moment ago"
        return difference(before, after, project=wish.project), ()


def _written(wish: Wish, folder: Path, planned: Iterable[_Made], names: Mapping[Path, str]) -> list[_Made]:
    """With their plan files, where `apply` would have something to do because of the change."""
    made: list[_Made] = []
    called = {shown(path): name for path, name in names.items()}
    with PlanFiles(folder) as files:
        for spec, compiled in planned:
            if compiled is None or not spec.running:
                made.append((spec, compiled))
                continue
            contract, found = contract_of(compiled, wish.project, here=wish.hardware_name is None)
            if contract is None:
                made.append((replace(spec, state=SpecState.FAILED, found=(*spec.found, *found)), None))
                continue
            path = files.write(called[Path(spec.path)], plan_to_json(compiled.plan, contract))
            made.append((replace(spec, file=str(path), found=(*spec.found, *found)), compiled))
    return made
