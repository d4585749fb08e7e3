"""The contract of a saved plan: the state of the world that it was made in, beside what is in the plan."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver import git
from ftspec.driver.compile import Compilation
from ftspec.driver.lock import needs_of
from ftspec.plan.contract import Contract, Production
from ftspec.plan.frozen import FrozenMap
from ftspec.spec.canonical import canonical_text
from ftspec.store.environments import pointer
from ftspec.store.project import Project

PRODUCTION = "production"


def contract_of(
    compiled: Compilation, project: Project, *, here: bool
) -> tuple[Contract | None, Diagnostics]:
    """`here`: it was planned for this machine, so that the packages of its backend belong to the contract.

    Raises FTS680 where the environments' file cannot be used.
    """
    needs, found = needs_of(compiled, project, here=here)
    if needs is None:
        return None, found
    path, folder = compiled.document.path, compiled.document.folder
    commit = git.head(folder)
    contract = Contract(
        spec=canonical_text(compiled.spec),
        ftspec=version("ftspec"),
        commit=commit,
        dirty=commit is not None and (git.is_dirty(folder) or git.is_dirty(folder, [path])),
        packages=needs.packages,
        production=production_of(project, compiled.plan.name),
        lock=replace(needs.lock(), packages=FrozenMap()),
    )
    return contract, found


def production_of(project: Project, name: str) -> Production | None:
    """What production points to; None where nothing was promoted there. Raises FTS680."""
    found = pointer(project, name, PRODUCTION)
    return None if found is None else Production(version=found.version, digest=found.digest)


def commit_moved(contract: Contract, folder: Path) -> str:
    """ "planned at commit …, this is …"; empty where it is the same, or not known."""
    now = git.head(folder)
    if contract.commit is None or now is None or contract.commit == now:
        return ""
    changes = " with uncommitted changes" if contract.dirty else ""
    return f"planned at commit {contract.commit[:12]}{changes}, this is {now[:12]}"
