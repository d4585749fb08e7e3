"""What may go: all that neither promotions, nor ftspec.lock, nor a spec of the project, nor the newest run of a
spec, nor an unfinished run reaches. The state that a longer training could go on from stays with the newest run
of a spec alone."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.incumbent import SCRATCH
from ftspec.driver.last_state import newest_states
from ftspec.driver.promote import now
from ftspec.driver.spec_models import named_versions
from ftspec.plan.model import Plan
from ftspec.plan.text import plan_from_json
from ftspec.run.folder import is_finished, run_folders
from ftspec.serve.index import INDEX_FOLDER
from ftspec.store.artifacts import Artifacts
from ftspec.store.collected import is_collected, mark_collected
from ftspec.store.environments import environments_lock, strict_pointers
from ftspec.store.files import clean_leftovers, retire
from ftspec.store.history import earlier, history, latest
from ftspec.store.leases import Notify, project_lease
from ftspec.store.ledger import Ledger
from ftspec.store.lockfile import read_lock
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion
from ftspec.store.records import forget_artifacts, forget_model
from ftspec.store.registry import RegisteredModel, list_models
from ftspec.store.run_record import RunRecord, all_records

KEEP = 3
_DIGITS = 20  # of digests in names of folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to remove; `paths` are folders. `size_bytes` counts files that others share, too."""

    kind: str  # model | run | artifact | index
    name: str  # search v2 | search-1a2b3c4d | train/0123… | …
    paths: tuple[Path, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """`freed_bytes`: what the disk gets back. Kept and removed things share files by hard links."""

    items: tuple[Item, ...]
    freed_bytes: int
    kept: dict[str, int]  # kind -> how many stay


@dataclass(slots=True)
class _Reached:
    """What stays. Versions and runs reach each other, and runs their stages."""

    versions: set[tuple[str, str]] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    artifacts: set[Path] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)  # of models, whose documents are embedded in the index


def find_garbage(project: Project, *, keep: int = KEEP) -> Garbage:
    """What `collect_garbage` would remove now. Raises FtspecError when promotions, the lock, specs or records of
    runs cannot be read: what they reach cannot be told then."""
    models = {(model.name, model.version): model for model in list_models(project)}
    records = _records(project)
    reached = _reach(project, keep, models, records)
    items = [*_items(project, reached, models)]
    kept = Counter(
        {
            "model": len(reached.versions & models.keys()),
            "run": len(reached.runs),
            "artifact": sum(path.is_dir() for path in reached.artifacts),
        }
    )
    paths = [path for item in items for path in item.paths]
    return Garbage(items=tuple(items), freed_bytes=_freed(paths), kept=dict(kept))


def collect_garbage(
    project: Project, *, keep: int = KEEP, purpose: str, notify: Notify | None = None
) -> Garbage:
    """Remove it. Raises FTS601 while something runs in the project, or moves an environment: none does from the
    moment when it is found what may go to that when it is out of sight."""
    with project_lease(project, purpose, notify=notify) as lease:
        with environments_lock(project):
            garbage = find_garbage(project, keep=keep)
            lease.require()
            trash = [*_out_of_sight(project, garbage)]
        for folder in trash:
            shutil.rmtree(folder)
        _clean(project)
        _forget(project, garbage)
    return garbage


def _out_of_sight(project: Project, garbage: Garbage) -> Iterator[Path]:
    """Where the things lie then, to be deleted."""
    for item in garbage.items:
        if item.kind == "run":
            folder = project.runs / item.name
            mark_collected(folder, when=now(), removed=[path.name for path in item.paths])
        for path in item.paths:
            trash = retire(path)
            if trash is not None:
                yield trash


def _records(project: Project) -> dict[str, RunRecord]:
    records, found = all_records(project)
    if found.has_errors:
        raise FtspecError(*found)
    return {record.run_id: record for record in records}


def _reach(
    project: Project,
    keep: int,
    models: dict[tuple[str, str], RegisteredModel],
    records: dict[str, RunRecord],
) -> _Reached:
    reached = _Reached()
    store = Artifacts(project)
    waiting_versions = {place for place, model in models.items() if model.current}
    waiting_versions |= (_locked(project) | named_versions(project, models.values())) & models.keys()
    newest = {record.name: record.run_id for record in records.values()}  # the oldest come first
    waiting_runs = set(newest.values())
    for promotion in kept_promotions(project, keep):
        waiting_versions.add((promotion.name, promotion.version))
        if promotion.run_id is not None:
            waiting_runs.add(promotion.run_id)
        if promotion.comparison is not None:
            reached.artifacts.add(store.path("promotion", promotion.comparison))
    # An unfinished run has its own link to what it goes on from.
    reached.artifacts.update(path for path, _ in newest_states(store, records.values()))
    waiting_runs |= {folder.name for folder in run_folders(project) if not is_finished(folder)}
    while waiting_versions or waiting_runs:
        for place in waiting_versions:
            reached.versions.add(place)
            if place in models:
                reached.digests.add(models[place].digest)
                waiting_runs.add(str(models[place].meta.get("run_id")))
        waiting_versions = set()
        for run_id in waiting_runs - reached.runs:
            reached.runs.add(run_id)
            record = records.get(run_id)
            if record is not None and record.model is not None:
                waiting_versions.add((record.model.name, record.model.version))
            reached.artifacts.update(_stages(project, store, run_id, record))
            plan = _plan(project, run_id)
            if plan is not None:
                reached.digests.add(plan.model.facts.digest)
                waiting_versions.update(_bases(project, plan))
        waiting_versions -= reached.versions
        waiting_runs = {
            str(models[place].meta.get("run_id")) for place in waiting_versions if place in models
        } - reached.runs
    reached.runs = {run_id for run_id in reached.runs if (project.runs / run_id).is_dir()}
    return reached


def kept_promotions(project: Project, keep: int) -> tuple[Promotion, ...]:
    """The last `keep` moves of each model in each environment, what it points to now, and the way back from
    there, `keep` versions in all. Raises FTS680 when a promotion cannot be read."""
    known, found = history(project)
    if found.has_errors:
        raise FtspecError(*found)
    now_there = strict_pointers(project)
    chosen: dict[str, Promotion] = {each.id: each for each in now_there.values()}
    for place in latest(known):
        mine = [each for each in known if (each.environment, each.name) == place]
        chosen.update({each.id: each for each in mine[-keep:]})
        present = now_there.get(place)
        if present is not None:
            versions = {present.version}
            for each in earlier(present, known):
                if len(versions | {each.version}) > keep:
                    break
                versions.add(each.version)
                chosen[each.id] = each
    return tuple(chosen.values())


def _stages(project: Project, store: Artifacts, run_id: str, record: RunRecord | None) -> Iterator[Path]:
    """Where the artefacts of a run lie: of a finished one by its record, else by its plan."""
    if record is not None:
        yield from (store.path(stage.name, stage.key) for stage in record.stages)
        return
    try:
        document = json.loads((project.runs / run_id / "plan.json").read_text(encoding="utf-8"))
        stages = [(stage["name"], stage["key"]) for stage in document["stages"]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a run that was killed before its plan was written has no stages yet
    yield from (store.path(name, key) for name, key in stages)


def _plan(project: Project, run_id: str) -> Plan | None:
    try:
        text = (project.runs / run_id / "plan.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return plan_from_json(text, name=run_id)[0]


def _locked(project: Project) -> set[tuple[str, str]]:
    """Registered versions that ftspec.lock names: specs that start from them may not have run yet."""
    lock, found = read_lock(project.root)
    if found.has_errors:
        raise FtspecError(*found)
    models = {} if lock is None else lock.models
    return {(key.partition("@")[0].partition("#")[0], each.revision or "") for key, each in models.items()}


def _bases(project: Project, plan: Plan) -> Iterator[tuple[str, str]]:
    """Registered versions that a plan starts from, or was measured against."""
    for facts in (plan.model.facts, plan.evaluation.baseline_facts):
        if facts is not None:
            folder = Path(facts.location)
            if folder.parent.parent == project.models.absolute():
                yield folder.parent.name, folder.name


def _items(
    project: Project, reached: _Reached, models: dict[tuple[str, str], RegisteredModel]
) -> Iterator[Item]:
    for place, model in sorted(models.items(), key=lambda each: (each[0][0], each[1].number)):
        if place not in reached.versions:
            yield _item("model", f"{model.name} {model.version}", (model.path,))
    for folder in sorted(run_folders(project)):
        outputs = tuple(sorted(path for path in folder.iterdir() if path.is_dir()))
        if folder.name not in reached.runs and is_finished(folder) and (outputs or not is_collected(folder)):
            yield _item("run", folder.name, outputs)
    for path in sorted(project.artifacts.glob("*/*")):
        if path.is_dir() and not path.name.startswith(".") and path not in reached.artifacts:
            yield _item("artifact", f"{path.parent.name}/{path.name}", (path,))
    kept = {digest.removeprefix("sha256:")[:_DIGITS] for digest in reached.digests}
    for path in sorted((project.state / INDEX_FOLDER).glob("*")):
        if path.is_dir() and path.name not in kept:
            yield _item("index", path.name, (path,))


def _item(kind: str, name: str, paths: tuple[Path, ...]) -> Item:
    size = sum(stat.st_size for path in paths for stat in _stats(path))
    return Item(kind=kind, name=name, paths=paths, size_bytes=size)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.stat()


def _freed(paths: Iterable[Path]) -> int:
    """A file goes from the disk with the last of its names."""
    names: Counter[tuple[int, int]] = Counter()
    files: dict[tuple[int, int], os.stat_result] = {}
    for path in paths:
        for stat in _stats(path):
            place = (stat.st_dev, stat.st_ino)
            names[place] += 1
            files[place] = stat
    return sum(stat.st_size for place, stat in files.items() if names[place] >= stat.st_nlink)


def _clean(project: Project) -> None:
    """What dead processes left half done, and folders that are empty now."""
    clean_leftovers(project.state / SCRATCH)
    for parent in (project.artifacts, project.models, project.state / INDEX_FOLDER):
        for folder in parent.iterdir() if parent.is_dir() else ():
            if folder.is_dir():
                clean_leftovers(folder)
                if parent == project.artifacts and not any(folder.iterdir()):
                    shutil.rmtree(folder)


def _forget(project: Project, garbage: Garbage) -> None:
    """Rows of artefacts and models that are gone. What the ledger holds of runs and their evidence stays."""
    ledger = Ledger(project)
    if ledger.exists:
        for item in garbage.items:
            if item.kind == "model":
                forget_model(ledger, *item.name.split(" "))
        forget_artifacts(ledger, project.root)
