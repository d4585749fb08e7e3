"""One side of a comparison: a spec, a plan file, a run, a lock, or one of them in a git revision."""

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics, Severity
from ftspec.driver import git
from ftspec.driver.planfile import is_spec_name
from ftspec.plan.codec import digest
from ftspec.plan.compare import Half
from ftspec.plan.contract import Lock
from ftspec.plan.difference import SideName
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan
from ftspec.plan.space import space_id_of
from ftspec.plan.text import saved_from_json
from ftspec.plan.trees import TreePath, spec_of_plan
from ftspec.store.lockfile import LOCK_NAME, parse_lock
from ftspec.store.project import ENVIRONMENTS_FILE, Project

_PROFILE = re.compile(r"(?P<subject>.*)@(?P<profile>[^@{}:~^]+)")
_REVISION = re.compile(r"(?P<revision>[^:]+):(?P<path>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """`half` is None for a lock. `folder`: where the data of the spec lies as it is on this side; None where
    only digests are known. `lock`: of a lock file, or the part that a plan file carries of one."""

    name: SideName
    half: Half | None
    folder: Path | None = None
    lock: Lock | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """What reading sides needs. Files of a revision lie in folders that `stack` removes in the end."""

    project: Project
    stack: ExitStack
    hardware_name: str | None = None  # for sides that name no machine
    found: Diagnostics = field(default_factory=Diagnostics)


def read_side(text: str, reading: Reading, *, other: str | None = None) -> Side | None:
    """`SUBJECT`, `SUBJECT@MACHINE`, or `@MACHINE` for the subject of the other side. None: see `found`."""
    subject, machine = split_machine(text)
    if not subject and other is not None:
        subject, _ = split_machine(other)
    if machine is not None and not subject:
        if other is not None:
            return None  # told of the other side
        reading.found.add(
            codes.NOT_COMPARABLE,
            f"{text} names a machine, but no spec",
            help="the first side names the spec: specs/x.yaml@laptop-cpu @h100x8",
        )
        return None
    side = _read(subject, text, machine or reading.hardware_name, reading)
    if side is None or machine is None or side.folder is not None:  # only a spec has a folder
        return side
    from ftspec.driver.facts import read_hardware

    _, here = read_hardware(machine)
    reading.found.extend(here)
    if not here.has_errors:
        made = (
            f"a plan, made for {side.name.machine}" if side.half is not None else "a lock, for every machine"
        )
        reading.found.add(
            codes.NOT_COMPARABLE,
            f"{text}: {subject} is {made}",
            help=f"name the spec, which is planned for any machine: specs/x.yaml@{machine}",
        )
    return None


def _read(subject: str, text: str, hardware: str | None, reading: Reading) -> Side | None:
    path = Path(subject)
    if path.is_file():
        return _of_file(path, text, hardware, reading)
    run = reading.project.runs / subject / "plan.json"
    if "/" not in subject and subject and run.is_file():
        return _of_run(run, text, reading)
    revision = _REVISION.fullmatch(subject)
    if revision is not None:
        return _of_revision(revision["revision"], revision["path"], text, hardware, reading)
    if is_spec_name(path):
        return _of_file(path, text, hardware, reading)
    reading.found.add(
        codes.PLAN_NOT_READABLE,
        f"{subject!r} is no spec (.yaml), no plan file, no lock and no run of this project",
        help="a revision is written `HEAD~1:specs/x.yaml`; `ftspec runs` lists runs",
    )
    return None


def split_machine(text: str) -> tuple[str, str | None]:
    """`specs/a.yaml@h100x8` is a spec for a machine; a file whose name holds an @ is itself, also in a commit."""
    found = _PROFILE.fullmatch(text)
    if found is None or Path(text).exists():
        return text, None
    revision = _REVISION.fullmatch(text)
    if revision is not None and _in_revision(revision["revision"], revision["path"])[0] is not None:
        return text, None
    return found["subject"], found["profile"]


def _of_file(path: Path, label: str, hardware: str | None, reading: Reading) -> Side | None:
    if is_spec_name(path):
        from ftspec.source.load import load_document

        document, here = load_document(path)
        reading.found.extend(here)
        if document is None:
            return None
        return _compiled(document, path, label, hardware, reading, form="spec")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reading.found.add(codes.PLAN_NOT_READABLE, f"{path}: {error}", help="name a spec, a plan or a lock")
        return None
    return _of_text(text, path.name, label, str(path), reading)


def _of_text(text: str, name: str, label: str, shown: str, reading: Reading) -> Side | None:
    """A lock or a plan file, of now or of a revision."""
    if name == LOCK_NAME:
        lock, here = parse_lock(text, shown)
        reading.found.extend(here)
        return None if lock is None else Side(name=_named(label, "lock", None), half=None, lock=lock)
    if name == ENVIRONMENTS_FILE:
        reading.found.add(
            codes.NOT_COMPARABLE,
            f"{name} holds what the environments point to",
            help="`git diff` shows it; `ftspec history NAME` tells how it came about",
        )
        return None
    saved, here = saved_from_json(text, name=shown)
    reading.found.extend(here)
    if saved is None:
        return None
    if saved.contract is None:
        return _of_plan(saved.plan, label, "plan", None, {})
    spec, packages = json.loads(saved.contract.spec), dict(saved.contract.packages)
    lock = saved.contract.lock
    if packages:  # a lock keeps them by backend
        lock = replace(
            lock, packages=FrozenMap({saved.plan.execution.backend or "": saved.contract.packages})
        )
    return replace(_of_plan(saved.plan, label, "plan", spec, packages), lock=lock)


def lock_side(text: str, label: str, reading: Reading) -> Side | None:
    """The text of a lock file. None: see `found`."""
    return _of_text(text, LOCK_NAME, label, label, reading)


def _of_run(path: Path, label: str, reading: Reading) -> Side | None:
    saved, here = saved_from_json(path.read_text(encoding="utf-8"), name=str(path))
    reading.found.extend(here)
    if saved is None:
        return None
    spec: dict[str, Any] | None = None
    record = path.parent / "record.json"  # of a finished run; an unfinished one has none
    if record.is_file():
        try:
            spec = json.loads(record.read_text(encoding="utf-8")).get("spec")
        except (OSError, ValueError, AttributeError):
            spec = None  # `ftspec state verify` tells of damaged records; the plan says enough
    return _of_plan(saved.plan, label, "run", spec, {})


def _of_plan(
    plan: Plan, label: str, form: str, spec: dict[str, Any] | None, packages: Mapping[str, str]
) -> Side:
    def place(path: TreePath) -> str:
        origin = plan.origins.get(".".join(map(str, path)))
        return "" if origin is None else origin.place

    half = Half(kind=plan.kind, spec=spec or spec_of_plan(plan), plan=plan, packages=packages, place=place)
    notes = (
        () if spec is not None else (f"{label} was saved without its spec: values are compared as planned",)
    )
    return Side(name=_named(label, form, plan), half=half, notes=notes)


def with_values(side: Side) -> Side:
    """The side with values in place of wishes, for a comparison with one that was saved without its spec."""
    if side.half is None or side.half.plan is None:
        return side
    return replace(side, half=replace(side.half, spec=spec_of_plan(side.half.plan)))


def _compiled(
    document: Any,
    path: Path,
    label: str,
    hardware: str | None,
    reading: Reading,
    *,
    form: str,
    shown: Any | None = None,
) -> Side | None:
    """A spec with its plan; without one, and with a note, where a spec without faults cannot be planned here.
    `shown`: the document with the places that people know, where that is another one."""
    from ftspec.driver.compile import compile_document
    from ftspec.spec.canonical import canonical_text
    from ftspec.spec.check import check_spec

    spec, here = check_spec(document)
    if spec is None:
        reading.found.extend(here)
        return None
    compiled, here = compile_document(document, path, project=reading.project, hardware_name=hardware)
    plan = None if compiled is None else compiled.plan
    notes: tuple[str, ...] = ()
    if plan is None:
        wrong = [each for each in here if each.is_error]
        if any(each.code in (codes.UNKNOWN_HARDWARE, codes.BAD_HARDWARE) for each in wrong):
            reading.found.extend(here)
            return None
        reading.found.extend(replace(each, severity=Severity.WARNING) for each in wrong)
        notes = (f"{label} cannot be planned here: stages, decisions and costs are not compared",)
    places = shown or document

    def place(path: TreePath) -> str:
        span = places.span(path, key=True) if places.has(path) else None
        return "" if span is None else str(span)

    half = Half(kind=spec.kind, spec=json.loads(canonical_text(spec)), plan=plan, packages={}, place=place)
    name = _named(label, form, plan)
    if plan is None:
        name = replace(name, name=spec.metadata.name, kind=spec.kind)
    return Side(name=name, half=half, folder=document.folder, notes=notes)


def _of_revision(
    revision: str, written: str, label: str, hardware: str | None, reading: Reading
) -> Side | None:
    """A file as it was in a commit. Its data is that of the commit where git has it and it changed since."""
    found, here = _in_revision(revision, written)
    reading.found.extend(here)
    if found is None:
        return None
    repository, commit, path, raw = found
    if not is_spec_name(path):
        side = _of_text(raw.decode("utf-8", "replace"), path.name, label, f"{revision}:{written}", reading)
        return None if side is None else replace(side, name=replace(side.name, form="revision"))
    return read_spec_of(repository, commit, path, revision, reading, label=label, hardware=hardware)


def _in_revision(
    revision: str, written: str
) -> tuple[tuple[git.Repository, str, Path, bytes] | None, Diagnostics]:
    """Repository, commit, place and content of a file, named from the top or from here. FTS670 to FTS672."""
    repository, found = git.find_repository(Path.cwd())
    if repository is None:
        return None, found
    commit, here = git.commit_of(repository, revision)
    found.extend(here)
    if commit is None:
        return None, found
    for path in dict.fromkeys((repository.top / written, Path.cwd() / written)):
        raw, here = git.show(repository, commit, path)
        if raw is not None:
            return (repository, commit, path, raw), Diagnostics()
        if not found.has_errors:
            found.extend(here)
    return None, found


def read_spec_of(
    repository: git.Repository,
    commit: str,
    path: Path,
    revision: str,
    reading: Reading,
    *,
    label: str,
    hardware: str | None,
) -> Side | None:
    """The spec that lies at `path` in a commit, which people know as `revision`. None: see `found`."""
    from ftspec.driver.revision import load_revision

    loaded = load_revision(repository, commit, path, revision, reading)
    if loaded is None:
        return None
    side = _compiled(
        loaded.document, loaded.document.path, label, hardware, reading, form="revision", shown=loaded.shown
    )
    return None if side is None else replace(side, notes=(*side.notes, *loaded.notes))


def _named(label: str, form: str, plan: Plan | None) -> SideName:
    return SideName(
        label=label,
        form=form,
        name="" if plan is None else plan.name,
        kind="" if plan is None else plan.kind,
        machine="" if plan is None else plan.machine.name,
        backend=None if plan is None else plan.execution.backend,
        spec_hash=None if plan is None else plan.spec_hash,
        plan_digest=None if plan is None else digest(plan),
        space_id=space_id_of(plan.model) if isinstance(plan, EmbeddingPlan) else None,
    )
