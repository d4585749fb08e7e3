"""Moving an environment's pointer back: without a comparison, and without a file of the present model."""

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError, Severity
from ftspec.driver.promote import now, who, writable
from ftspec.store.environments import environments_lock, strict_pointers
from ftspec.store.history import earlier, find_whole, history, is_broken_off, move
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion

ROLLBACK = "rollback"


def rollback(
    project: Project, name: str, environment: str, *, note: str = ""
) -> tuple[Promotion, Promotion, Diagnostics]:
    """Point back to what was there before; (the rollback, what it left, warnings).

    Earlier versions whose files are gone or changed are passed over, and told (FTS682). Needs nothing of the
    present model. Raises FTS681 when there is nothing before, or nothing of it is whole.
    """
    with environments_lock(project):
        present = strict_pointers(project).get((environment, name))
        if present is None:
            raise _nothing_there(project, name, environment)
        known, found = history(project, name)
        found = Diagnostics([each for each in found if not each.is_error])
        for candidate in earlier(present, known):
            if find_whole(project, candidate) is not None:
                break
            found.add(
                codes.PROMOTED_DAMAGED,
                f"{candidate.model}, which was there before, is passed over",
                severity=Severity.WARNING,
            )
        else:
            raise FtspecError(*found, _no_way_back(project, present, known))
        back = Promotion(
            environment=environment,
            name=name,
            kind=candidate.kind,
            number=0,
            action="rollback",
            version=candidate.version,
            digest=candidate.digest,
            space_id=candidate.space_id,
            run_id=candidate.run_id,
            from_version=present.version,
            from_digest=present.digest,
            basis=ROLLBACK,
            verdict=candidate.verdict,
            comparison=candidate.comparison,
            measured=None,
            flags=candidate.flags,  # it stands there by these again
            note=writable(note),
            by=who(project),
            promoted=now(),
            previous=candidate.previous,
        )
        moved, warnings = move(project, back, expected=present.id)
    found.extend(warnings)
    return moved, present, found


def _no_way_back(project: Project, present: Promotion, known: tuple[Promotion, ...]) -> Diagnostic:
    """FTS681: why a rollback has nowhere to go. The history is local, so in a fresh clone it may end early."""
    help = f"`ftspec promote {present.name}@VERSION --to {present.environment}` puts another version there"
    steps = (present, *earlier(present, known))
    if is_broken_off(steps[-1], known):
        why = (
            f"what was there before {steps[-1].version} is recorded where it was promoted, not in this clone"
        )
        file = project.relative(project.environments)
        help = (
            f"roll back there, or bring {file} back from the commit before (`git log -- {file}`); or {help}"
        )
    elif len(steps) > 1:
        why = "no earlier version is whole"
    else:
        why = "nothing was there before"
    return Diagnostic(
        code=codes.NOT_PROMOTED,
        detail=f"{present.environment} holds {present.model}, and {why}",
        help=help,
    )


def _nothing_there(project: Project, name: str, environment: str) -> FtspecError:
    there = sorted({place[0] for place in strict_pointers(project) if place[1] == name})
    help = (
        f"it is in {', '.join(there)}" if there else f"`ftspec promote {name} --to {environment}` promotes it"
    )
    return FtspecError(
        Diagnostic(code=codes.NOT_PROMOTED, detail=f"{environment} holds no `{name}`", help=help)
    )
