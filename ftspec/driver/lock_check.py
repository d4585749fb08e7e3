"""Does what a plan was made from agree with the lock of its project?"""

import os

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation
from ftspec.store.lockfile import LOCK_NAME
from ftspec.store.project import Project


def check_lock(compiled: Compilation, project: Project, *, locked: bool | None, here: bool) -> Diagnostics:
    """FTS630 for each disagreement, FTS633 where there is no lock.

    `locked`: True refuses, False and None take note; None refuses in CI, where there is a lock at all. `here`:
    the plan is for this machine, whose packages are compared too.
    """
    found = Diagnostics()
    lock = compiled.world.lock
    if lock is None:
        if locked:
            found.add(
                codes.LOCK_MISSING,
                f"--locked asks for {LOCK_NAME} in {project.root.name or project.root}",
                help="ftspec lock",
            )
        return found
    from ftspec.driver.lock import disagreements, needs_of

    needs, found = needs_of(compiled, project, here=here)
    if needs is not None:
        refuse = in_ci() if locked is None else locked
        found.extend(disagreements(needs, lock, refuse=refuse))
    return found


def in_ci() -> bool:
    """By the variable that every such service sets."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
