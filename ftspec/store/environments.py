"""Environments: names such as `production` that point to a registered version, and how they came there.

`ftspec.environments.json` at the project's root holds the pointers. It is the one file whose replacement moves
them, and teams commit it. Each entry is the whole promotion that led to it, under an id taken over its content,
so an edit by hand is seen. `.ftspec/promotions/` keeps every promotion that this project saw, one file each: the
history, and what the ledger's table is made of. Order comes from numbers and links, never from clocks.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError, Severity
from ftspec.plan.codec import hash_of
from ftspec.store.files import write_atomically
from ftspec.store.ledger import Ledger
from ftspec.store.project import ENVIRONMENTS_FILE, Project
from ftspec.store.records import PromotionRow, insert_rows

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILE_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ID_DIGITS = 16
_WAIT_SECONDS = 10.0  # swapping a pointer takes milliseconds
_RESTORE = (
    "restore it from git, or delete it and run `ftspec state rebuild`, which writes it from what was recorded"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The primary metric against what was there; `gain` is the improvement, with its interval."""

    metric: str
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One move of a pointer. `number` counts those of one model in one environment."""

    environment: str
    name: str
    kind: str
    number: int
    action: str  # promote | rollback
    version: str
    digest: str  # of the model's files
    space_id: str | None  # None: it makes no embeddings
    run_id: str | None
    from_version: str | None  # None: the environment was empty
    from_digest: str | None
    basis: str  # registered | comparison | baseline | rollback
    verdict: str  # passed | inconclusive
    comparison: str | None  # key of the artefact of stage `promotion`
    measured: Measured | None
    flags: tuple[str, ...]  # given by the person, as written: --allow-inconclusive
    note: str
    by: str
    promoted: str  # ISO 8601, UTC
    previous: str | None  # id of the promotion that a rollback goes back to
    id: str = ""  # over all of the above

    @property
    def model(self) -> str:
        return f"{self.name} {self.version}"


def action_noun(promotion: Promotion) -> str:
    return "rollback" if promotion.action == "rollback" else "promotion"


_Pointers = Mapping[tuple[str, str], Promotion]  # (environment, name)


def is_environment_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def with_id(promotion: Promotion) -> Promotion:
    return replace(promotion, id=_id_of(_document(promotion)))


def pointer(project: Project, name: str, environment: str) -> Promotion | None:
    """What `environment` points to for the model `name`; None when nothing was promoted there.

    Raises FTS680 when the file cannot be used.
    """
    return read_pointers(project).get((environment, name))


def pointers_to(project: Project, name: str, version: str) -> tuple[Promotion, ...]:
    """The environments that point to a version now."""
    found = read_pointers(project)
    return tuple(each for each in found.values() if (each.name, each.version) == (name, version))


def read_pointers(project: Project) -> _Pointers:
    """All pointers of the file, by environment and name; no file: none. Raises FTS680."""
    try:
        text = project.environments.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"it cannot be read: {error}") from error
    return _parse(text)


def strict_pointers(project: Project) -> _Pointers:
    """As `read_pointers`, and FTS680 when there is no file although promotions were recorded: what an
    environment held must not be forgotten, or the next promotion would be judged against nothing."""
    if not project.environments.exists() and any(project.promotions.glob("*.json")):
        raise FtspecError(
            Diagnostic(
                code=codes.ENVIRONMENTS_UNREADABLE,
                detail="it is not there, but promotions are recorded in .ftspec/promotions",
                help="`ftspec state rebuild` writes it again",
            )
        )
    return read_pointers(project)


def history(project: Project, name: str | None = None) -> tuple[tuple[Promotion, ...], Diagnostics]:
    """Every promotion that this project saw, of one model or of all, by environment, name and number: those
    that were recorded here, and those that came with the file. FTS680 (in the diagnostics) for records that
    cannot be read, and for the file."""
    found = Diagnostics()
    by_id: dict[str, Promotion] = {}
    for path in sorted(project.promotions.glob("*.json")):
        place = project.relative(path)
        try:
            promotion = _promotion(json.loads(path.read_text(encoding="utf-8")), place)
        except FtspecError as error:
            found.extend(error.diagnostics)
        except (OSError, ValueError, RecursionError) as error:
            found.extend(_unusable(f"{place}: {error}", help=_RECORD_HELP).diagnostics)
        else:
            by_id[promotion.id] = promotion
    try:
        by_id |= {each.id: each for each in read_pointers(project).values()}
    except FtspecError as error:
        found.extend(error.diagnostics)
    chosen = [each for each in by_id.values() if name in (None, each.name)]
    return tuple(sorted(chosen, key=_order)), found


def latest(promotions: tuple[Promotion, ...]) -> _Pointers:
    """The last one of each model in each environment: where the pointers stood when they were last moved."""
    return {(each.environment, each.name): each for each in sorted(promotions, key=_order)}


def earlier(promotion: Promotion, promotions: tuple[Promotion, ...]) -> Iterator[Promotion]:
    """What was there before, the nearest first: the way that rollbacks go."""
    by_id = {each.id: each for each in promotions}
    seen = {promotion.id}
    step = promotion.previous
    while step is not None and step in by_id and step not in seen:
        seen.add(step)
        yield by_id[step]
        step = by_id[step].previous


@contextmanager
def environments_lock(project: Project, *, wait_seconds: float = _WAIT_SECONDS) -> Iterator[None]:
    """Held while pointers or what they point to change; never during training, so that a rollback need not
    wait for it. Raises FTS601 when it stays taken."""
    from filelock import FileLock, Timeout

    project.create()
    lock = FileLock(project.state / "environments.lock", timeout=wait_seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise FtspecError(
            Diagnostic(
                code=codes.LOCKED,
                detail=f"another process moves an environment, for more than {wait_seconds:g} s",
                help="wait for it to end, and give the command again",
            )
        ) from error
    try:
        yield
    finally:
        lock.release()


def move(project: Project, promotion: Promotion, *, expected: str | None) -> tuple[Promotion, Diagnostics]:
    """Make `promotion` what its environment points to; call it under `environments_lock`.

    `expected` is the id of what the caller saw there (None: nothing). Raises FTS686 when that has changed
    since. The number is set here. The file comes first, in one step; what was there is recorded before. A
    ledger that cannot be written is a warning: it is rebuilt from the file.
    """
    pointers = dict(strict_pointers(project))
    place = (promotion.environment, promotion.name)
    present = pointers.get(place)
    if (present.id if present else None) != expected:
        now = present.version if present else "nothing"
        raise FtspecError(
            Diagnostic(
                code=codes.ENVIRONMENT_MOVED,
                detail=f"{promotion.environment} points to {now} of {promotion.name} now",
                help="give the command again",
            )
        )
    known, _ = history(project, promotion.name)
    numbers = [each.number for each in known if (each.environment, each.name) == place]
    moved = with_id(replace(promotion, number=1 + max(numbers, default=0)))
    pointers[place] = moved
    _record(project, known)
    write_pointers(project, pointers)
    _record(project, (moved,))
    return moved, _note(project, (*known, moved))


def restore(project: Project) -> tuple[tuple[Promotion, ...], Diagnostics]:
    """The history, with the file written again from it where it is gone, and records of what only the file
    told. Part of `ftspec state rebuild`."""
    known, found = history(project)
    if known and not project.environments.exists():
        write_pointers(project, latest(known))
    _record(project, known)
    return known, found


def verify_environments(project: Project) -> Diagnostics:
    """FTS680 for what cannot be read, and for a file that is gone or not where the records left it."""
    known, found = history(project)
    if found.has_errors:
        return found
    try:
        pointers = strict_pointers(project)
    except FtspecError as error:
        found.extend(error.diagnostics)
        return found
    for place, last in latest(known).items():
        now = pointers.get(place)
        if now is None or now.id != last.id:
            said = f"to {now.version}" if now else "to nothing"
            found.add(
                codes.ENVIRONMENTS_UNREADABLE,
                f"{place[0]} points {said} of {place[1]}; the last promotion recorded here led to {last.version}",
                help="where git brought the file, nothing needs to be done; else restore it from git",
                severity=Severity.WARNING,
            )
    return found


def write_pointers(project: Project, pointers: _Pointers) -> None:
    """Replace the file in one step; the same pointers give the same bytes."""
    environments: dict[str, dict[str, Any]] = {}
    for (environment, name), promotion in pointers.items():
        entry = {"id": promotion.id, **_document(promotion)}
        environments.setdefault(environment, {})[name] = {
            key: value for key, value in entry.items() if key not in ("environment", "name")
        }
    document = {"version": FILE_VERSION, "environments": environments}
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(project.environments, text + "\n")


def promotion_document(promotion: Promotion) -> dict[str, Any]:
    """As JSON values, with the id."""
    return {"id": promotion.id, **_document(promotion)}


def promotion_row(promotion: Promotion) -> PromotionRow:
    measured = promotion.measured
    return PromotionRow(
        promotion_id=promotion.id,
        environment=promotion.environment,
        name=promotion.name,
        number=promotion.number,
        action=promotion.action,
        version=promotion.version,
        model_digest=promotion.digest,
        space_id=promotion.space_id,
        run_id=promotion.run_id,
        from_version=promotion.from_version,
        from_digest=promotion.from_digest,
        basis=promotion.basis,
        verdict=promotion.verdict,
        metric=measured.metric if measured else None,
        gain=measured.gain if measured else None,
        gain_low=measured.low if measured else None,
        gain_high=measured.high if measured else None,
        comparison_key=promotion.comparison,
        flags=list(promotion.flags),
        note=promotion.note,
        promoted_by=promotion.by,
        promoted=promotion.promoted,
        previous_id=promotion.previous,
    )


def _record(project: Project, promotions: tuple[Promotion, ...]) -> None:
    for promotion in promotions:
        path = project.promotions / f"{promotion.id}.json"
        if not path.exists():
            text = json.dumps(promotion_document(promotion), indent=1, ensure_ascii=False)
            write_atomically(path, text + "\n", mode=0o444)


def _note(project: Project, promotions: tuple[Promotion, ...]) -> Diagnostics:
    found = Diagnostics()
    try:
        with Ledger(project).write() as db:
            insert_rows(db, [promotion_row(each) for each in promotions])
    except FtspecError as error:
        for each in error.diagnostics:
            found.add(
                each.code,
                f"the environment has moved, and the ledger does not know it yet: {each.detail}",
                help="`ftspec state rebuild` brings it in",
                severity=Severity.WARNING,
            )
    return found


def _order(promotion: Promotion) -> tuple[str, str, int, str]:
    return promotion.environment, promotion.name, promotion.number, promotion.id


def _parse(text: str) -> _Pointers:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            raise _unusable(
                f"line {number}: a merge conflict was left in it",
                help="keep one side of it: `git checkout --ours` or `--theirs`",
            )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusable(f"it is no JSON, or was cut off: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FILE_VERSION:
        raise _unusable(f"it has version {version}; this ftspec reads {FILE_VERSION}", help="update ftspec")
    match document:
        case {"version": 1, "environments": dict(environments), **rest} if not rest:
            pass
        case _:
            raise _unusable("it is not of the form that ftspec writes")
    found = {}
    for environment, models in environments.items():
        place = f"environment {environment!r:.80}"
        if not isinstance(models, dict):
            raise _unusable(f"{place} is not of the form that ftspec writes")
        for name, entry in models.items():
            if not isinstance(entry, dict):
                raise _unusable(f"{place}, {name!r:.80} is not of the form that ftspec writes")
            whole = {**entry, "environment": environment, "name": name}
            found[environment, name] = _promotion(whole, f"{place}, {name!r:.80}")
    return found


def _promotion(document: Any, place: str) -> Promotion:
    """Raises FTS680 when it is not what was written under its id."""
    from pydantic import ValidationError  # here: most commands read no promotion

    try:
        promotion = _adapter().validate_python(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _unusable(f"{place}: {where}: {error.errors()[0]['msg']}") from error
    surplus = document.keys() - {each.name for each in fields(Promotion)}
    if surplus:
        raise _unusable(f"{place}: unknown keys {', '.join(sorted(map(str, surplus)))}")
    if not (is_environment_name(promotion.environment) and is_environment_name(promotion.name)):
        raise _unusable(f"{place}: not a name of an environment or a model")
    if promotion.id != _id_of(_document(promotion)):
        raise _unusable(f"{place}: it was changed after it was written")
    return promotion


def _document(promotion: Promotion) -> dict[str, Any]:
    document = asdict(promotion)
    del document["id"]
    document["flags"] = list(promotion.flags)
    return document


def _id_of(document: Mapping[str, Any]) -> str:
    return hash_of(document).removeprefix("sha256:")[:_ID_DIGITS]


@cache
def _adapter() -> "TypeAdapter[Promotion]":
    from pydantic import TypeAdapter

    return TypeAdapter(Promotion)


def _unusable(detail: str, help: str = _RESTORE) -> FtspecError:
    return FtspecError(
        Diagnostic(code=codes.ENVIRONMENTS_UNREADABLE, detail=f"{ENVIRONMENTS_FILE}: {detail}", help=help)
    )


_RECORD_HELP = "delete the file; the environments stand in ftspec.environments.json"
