"""What the specs of a project resolve to now, and how that compares with their lock."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError, Severity
from ftspec.driver.compile import Compilation, compile_spec
from ftspec.driver.lock_keys import model_key, resolved_revision, source_key
from ftspec.driver.names import clashes_of
from ftspec.plan.codec import hash_of
from ftspec.plan.contract import Lock, LockedModel, LockedSource
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.lock_changes import Change, Place, changes_between, moved_model, moved_packages, moved_source
from ftspec.source.document import Document
from ftspec.store.digests import DigestCache
from ftspec.store.lockfile import lock_path, read_lock
from ftspec.store.project import Project
from ftspec.target.environments import find_environment

if TYPE_CHECKING:
    from ftspec.data.llm_sources import TextSource
    from ftspec.data.rows import Source


E = TypeVar("E", LockedModel, LockedSource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed(Generic[E]):
    """An entry of the lock as the world has it. `place` is the key of the spec that asks for it."""

    key: str
    place: Place
    value: E
    reading: str  # of a source: which of its files are read, and how; of a model: for which kind of spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """All that one spec needs, on this machine. `packages` is empty where its backend is not installed here."""

    document: Document
    spec_path: str
    models: tuple[Needed[LockedModel], ...]
    data: tuple[Needed[LockedSource], ...]
    backend: str
    packages: FrozenMap[str]

    def lock(self) -> Lock:
        """The part of a lock that this spec alone would need."""
        return merged(None, [self], whole=True)


def needs_of(
    compiled: Compilation, project: Project, *, here: bool = True
) -> tuple[Needs | None, Diagnostics]:
    """What a compiled spec was resolved to. `here`: it was planned for this machine, whose packages count.

    FTS701 where a file went away meanwhile.
    """
    from ftspec.models.files import model_files

    found = Diagnostics()
    plan, world, folder = compiled.plan, compiled.world, compiled.document.folder
    models: list[Needed[LockedModel]] = []
    asked = [(plan.model.base, plan.model.revision, world.model, ("model", "base"))]
    if world.baseline is not None:
        asked.append((plan.evaluation.baseline, None, world.baseline, ("evaluation", "baseline")))
    try:
        for base, revision, facts, place in asked:
            value = LockedModel(
                revision=resolved_revision(facts.origin, Path(facts.location)),
                digest=facts.digest,
                files=FrozenMap(model_files(facts, project.cache)),
            )
            key = model_key(base, revision, folder, project.root, origin=facts.origin)
            models.append(Needed(key=key, place=place, value=value, reading=plan.kind))
        data = _data_needs(compiled, project)
    except OSError as error:
        found.add(codes.SOURCE_NOT_FOUND, f"{error.filename}: {error.strerror}")
        return None, found
    except FtspecError as error:
        found.extend(error.diagnostics)
        return None, found
    needs = Needs(
        document=compiled.document,
        spec_path=plan.spec_path,
        models=tuple(models),
        data=data,
        backend=plan.execution.backend or "",
        packages=backend_packages(compiled, project) if here else FrozenMap(),
    )
    return needs, found


def _data_needs(compiled: Compilation, project: Project) -> tuple[Needed[LockedSource], ...]:
    """Raises OSError, and FtspecError as sources do."""
    from ftspec.data.source_facts import bytes_digest
    from ftspec.data.sources import open_sources
    from ftspec.data.sources import source_key as place_of
    from ftspec.driver.requests import embedding_request_of, llm_request_of
    from ftspec.plan.embedding import EmbeddingPlan
    from ftspec.plan.llm import LlmPlan

    plan = compiled.plan
    needs: list[Needed[LockedSource]] = []
    opened: Sequence[Source | TextSource] | None
    if isinstance(plan, LlmPlan):
        from ftspec.data.llm_collect import open_text_sources, source_place

        request = llm_request_of(plan, project)
        opened, found = open_text_sources(request)
        places = [source_place(request, index) for index in range(len(request.sources))]
    else:
        assert isinstance(plan, EmbeddingPlan)
        rows = embedding_request_of(plan, project)
        opened, found = open_sources(rows)
        places = [place_of(rows, index) for index in range(len(rows.train) + len(rows.evaluation))]
    if opened is None:
        raise FtspecError(*found)
    sources = (*plan.data.train, *plan.data.evaluation)
    with DigestCache(project.cache) as known:
        for index, facts in enumerate(plan.data.facts.sources):
            source: Source | TextSource = opened[index]
            value = LockedSource(
                type=facts.type, digest=bytes_digest(source, known), rows=facts.rows, columns=facts.columns
            )
            key = source_key(source.label, compiled.document.folder, project.root)
            names = [file.name for file in source.files]
            part = getattr(sources[index], "split", None)  # of a folder that one spec reads twice
            reading = hash_of({"settings": source.settings, "files": names, "part": part})
            needs.append(Needed(key=key, place=places[index], value=value, reading=reading[7:15]))
    return tuple(needs)


def backend_packages(compiled: Compilation, project: Project) -> FrozenMap[str]:
    """Versions in the environment that the plan's backend would run in; empty where it is not installed."""
    target = next(each for each in compiled.world.targets if each.name == compiled.plan.execution.backend)
    environment = find_environment(project.state, target)
    if environment is None or not environment.usable:
        return FrozenMap()
    return FrozenMap(dict(environment.versions))


def merged(lock: Lock | None, needs: Sequence[Needs], *, whole: bool) -> Lock:
    """The lock after a look at some specs: entries of other specs stay, or, with `whole`, go. Packages of
    backends that are not installed here always stay: another machine stated them."""
    before = lock or Lock()
    models = {} if whole else dict(before.models)
    data = {} if whole else dict(before.data)
    packages = dict(before.packages)
    models |= _named_apart((each for need in needs for each in need.models), models)
    data |= _named_apart((each for need in needs for each in need.data), data)
    packages |= {need.backend: need.packages for need in needs if need.packages}
    return Lock(models=FrozenMap(models), data=FrozenMap(data), packages=FrozenMap(packages))


def _named_apart(needs: Iterable[Needed[E]], kept: Mapping[str, E]) -> dict[str, E]:
    """One entry for each name, and further ones `<name>#<reading>` where specs read different things there:
    other columns or files of one path, or more files of one model."""
    entries: dict[str, E] = {}
    for each in sorted(needs, key=lambda need: (need.key, need.reading)):
        own, taken = f"{each.key}#{each.reading}", entries.get(each.key)
        other = kept.get(each.key)  # of the same bytes: another reading; of others: from before they moved
        apart = (
            own in kept
            or (taken is not None and taken != each.value)
            or (
                taken is None
                and other is not None
                and other.digest == each.value.digest
                and other != each.value
            )
        )
        entries[own if apart else each.key] = each.value
    return entries


def _locked(need: Needed[E], entries: Mapping[str, E]) -> E | None:
    return entries.get(f"{need.key}#{need.reading}", entries.get(need.key))


def compare(needs: Needs, lock: Lock) -> Iterator[Change]:
    """Everything in which the world differs from the lock, for one spec."""
    for need in needs.models:
        locked = _locked(need, lock.models)
        if locked is None:
            yield Change(section="model", key=need.key, change="missing", place=need.place)
        elif locked != need.value:
            yield replace(moved_model(need.key, locked, need.value), place=need.place)
    for source in needs.data:
        present = _locked(source, lock.data)
        if present is None:
            yield Change(section="data", key=source.key, change="missing", place=source.place)
        elif present != source.value:
            yield replace(moved_source(source.key, present, source.value), place=source.place)
    place = ("resources", "backend")
    if needs.packages:
        if needs.backend not in lock.packages:
            yield Change(section="package", key=f"of {needs.backend}", change="missing", place=place)
        else:
            old = lock.packages[needs.backend]
            yield from (
                replace(each, place=place) for each in moved_packages(old, needs.packages, needs.backend)
            )


def disagreements(needs: Needs, lock: Lock, *, refuse: bool) -> Diagnostics:
    """FTS630 for each entry that differs, at the line of the spec that asks for it: errors, or notes."""
    found = Diagnostics()
    for change in compare(needs, lock):
        place = change.place
        while place and not needs.document.has(place):
            place = place[:-1]
        help = "`ftspec lock` writes what is there now"
        if change.section == "model" and change.change == "moved":
            help = f"`ftspec lock --upgrade {change.key.partition('@')[0]}` takes what is there now"
        found.items.append(
            Diagnostic(
                code=codes.LOCK_DISAGREES,
                detail=change.sentence(),
                primary=needs.document.span(place) if place else None,
                help=help,
                severity=None if refuse else Severity.NOTE,
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LockResult:
    """What `ftspec lock` found. `lock` is what the file would hold; `changes` what that does to it."""

    path: Path
    specs: tuple[str, ...]
    lock: Lock
    changes: tuple[Change, ...]
    before: Lock | None  # None: there was no file


def make_lock(
    specs: Sequence[Path], *, project: Project, whole: bool, upgrade: Sequence[str] = ()
) -> tuple[LockResult | None, Diagnostics]:
    """Resolve the specs, and put what they need together; nothing is written. Revisions that are locked stay,
    but for the models in `upgrade`. `whole`: these are all specs, and what none of them needs goes.

    FTS630 where a locked revision has another content than the lock states: a revision never changes. FTS213 is a
    warning here: what specs of one name need is the same.
    """
    before, found = read_lock(project.root)
    needs: list[Needs] = []
    for path in specs:
        compiled, here = compile_spec(path, project=project, upgrade=upgrade)
        found.extend(each for each in here if each.is_error and each not in found.items)
        if compiled is None:
            continue
        need, here = needs_of(compiled, project)
        found.extend(here)
        if need is not None:
            needs.append(need)
            found.extend(_altered(need, before or Lock(), upgrade))
    clashes = clashes_of((Path(each.spec_path), each.document) for each in needs)
    found.extend(replace(each, severity=Severity.WARNING) for each in clashes.values())
    _check_upgrade(upgrade, needs, found)
    if found.has_errors:
        return None, found
    lock = merged(before, needs, whole=whole)
    result = LockResult(
        path=lock_path(project.root),
        specs=tuple(map(str, specs)),
        lock=lock,
        changes=tuple(changes_between(before or Lock(), lock)),
        before=before,
    )
    return result, found


def _altered(needs: Needs, lock: Lock, upgrade: Sequence[str]) -> Iterator[Diagnostic]:
    for need in needs.models:
        locked = _locked(need, lock.models)
        if locked is None or locked.revision is None or _names(need.key) & set(upgrade):
            continue
        if locked.revision == need.value.revision and locked.files != need.value.files:
            yield Diagnostic(
                code=codes.LOCK_DISAGREES,
                detail=f"{moved_model(need.key, locked, need.value).sentence()}; its revision is the same",
                primary=needs.document.span(need.place),
                help=f"download the model again; or, to take what is here: ftspec lock --upgrade {need.key}",
            )


def _check_upgrade(upgrade: Sequence[str], needs: Sequence[Needs], found: Diagnostics) -> None:
    """Each name must be a model that one of the specs names."""
    keys = sorted({need.key for each in needs for need in each.models})
    known = {name for key in keys for name in _names(key)}
    for name in upgrade:
        if name not in known and not found.has_errors:
            close = difflib.get_close_matches(name, known, n=1)
            found.add(
                codes.LOCK_DISAGREES,
                f"--upgrade {name!r:.120}: no such model is named by these specs",
                help=f"did you mean `{close[0]}`?" if close else f"they name {', '.join(keys)}",
            )


def _names(key: str) -> set[str]:
    """What a user may call a model: with its revision, or without."""
    return {key, key.partition("@")[0]}
