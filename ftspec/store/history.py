"""Every promotion that this project saw: `.ftspec/promotions/`, one file each, and the ledger's table made of them.

It is local, as the ledger is: another clone knows of what the committed file held when it came there, and of
its own. Order comes from numbers and links, never from clocks.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError, Severity
from ftspec.store.environments import environments_lock, read_pointers, strict_pointers, write_pointers
from ftspec.store.files import write_atomically
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.promotion import (
    Pointers,
    Promotion,
    promotion_document,
    promotion_row,
    read_promotion,
    unusable,
    with_id,
)
from ftspec.store.records import insert_rows
from ftspec.store.registry import RegisteredModel, find_model_version, is_intact

_RECORD_HELP = "delete the file; the environments stand in ftspec.environments.json"


def history(project: Project, name: str | None = None) -> tuple[tuple[Promotion, ...], Diagnostics]:
    """Every promotion that this project saw, of one model or of all, by environment, name and number: those
    that were recorded here, and those that came with the file. FTS680 (in the diagnostics) for records that
    cannot be read, and for the file."""
    found = Diagnostics()
    by_id: dict[str, Promotion] = {}
    for path in sorted(project.promotions.glob("*.json")):
        place = project.relative(path)
        try:
            promotion = read_promotion(json.loads(path.read_text(encoding="utf-8")), place)
        except FtspecError as error:
            found.extend(error.diagnostics)
        except (OSError, ValueError, RecursionError) as error:
            found.extend(unusable(f"{place}: {error}", help=_RECORD_HELP).diagnostics)
        else:
            by_id[promotion.id] = promotion
    try:
        by_id |= {each.id: each for each in read_pointers(project).values()}
    except FtspecError as error:
        found.extend(error.diagnostics)
    chosen = [each for each in by_id.values() if name in (None, each.name)]
    return tuple(sorted(chosen, key=_order)), found


def latest(promotions: tuple[Promotion, ...]) -> Pointers:
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


def is_broken_off(promotion: Promotion, promotions: tuple[Promotion, ...]) -> bool:
    """Was something there before that is recorded elsewhere, and not here?"""
    known = {each.id for each in promotions}
    return promotion.previous is not None and promotion.previous not in known


def find_whole(project: Project, promotion: Promotion) -> RegisteredModel | None:
    """The version that was promoted, if its files are here and still those."""
    model, _ = find_model_version(project, promotion.name, promotion.version)
    if model is None or model.digest != promotion.digest or not is_intact(model):
        return None
    return model


def not_whole(project: Project, promotion: Promotion) -> Diagnostic:
    """FTS682: what of a promoted model is not here, and what helps here: to go back where something whole was
    there before, else to bring its files, or to make them again."""
    name, version, environment = promotion.name, promotion.version, promotion.environment
    model, _ = find_model_version(project, name, version)
    folder = project.relative(project.models / name / version)
    again = f"apply its spec, and `ftspec promote {name} --to {environment}`, which says what it asks for"
    help = f"bring .ftspec from where it was promoted, as a backup does; or {again}"
    if model is None:
        what = f"{folder} of run {promotion.run_id} is not here"
    elif model.digest != promotion.digest:
        what = f"{folder} is another model here, of run {model.meta.get('run_id')} and not {promotion.run_id}"
    else:
        what = f"files in {folder} were changed"
        help = f"`ftspec models delete {name} --version {version}`, {again}"
    back = next(
        (each for each in earlier(promotion, history(project, name)[0]) if find_whole(project, each)), None
    )
    if back is not None:
        help = f"`ftspec rollback {name} --to {environment}` goes back to {back.version}; or {help}"
    return Diagnostic(
        code=codes.PROMOTED_DAMAGED,
        detail=f"{promotion.model}, which {environment} points to: {what}",
        help=help,
    )


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


def restore(project: Project) -> tuple[tuple[Promotion, ...], Pointers, Diagnostics]:
    """The history, with the file written again from it where it is gone, and records of what only the file
    told; and the pointers that were written. Part of `ftspec state rebuild`."""
    written: Pointers = {}
    with environments_lock(project):
        known, found = history(project)
        if known and not project.environments.exists():
            written = latest(known)
            write_pointers(project, written)
        _record(project, known)
    return known, written, found


def verify_environments(project: Project) -> Diagnostics:
    """FTS680 for what cannot be read, and for a file that is gone; FTS695 for one that is not where the records
    left it."""
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
                codes.POINTER_ELSEWHERE,
                f"{place[0]} points {said} of {place[1]}; the last promotion recorded here led to {last.version}",
                help="where git brought the file, nothing needs to be done; else restore it from git",
            )
    return found


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
