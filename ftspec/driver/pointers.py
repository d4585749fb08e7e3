"""What environments pointed to by the commit that is checked out."""

from ftspec.diagnostics.model import FtspecError
from ftspec.driver import git
from ftspec.store.environments import parse_pointers
from ftspec.store.project import Project
from ftspec.store.promotion import Pointers


def committed_pointers(project: Project) -> Pointers:
    """Those of HEAD; none where git has no such file there, or none that can be used."""
    repository, _ = git.find_repository(project.root)
    commit = git.head(project.root)
    if repository is None or commit is None:
        return {}
    raw, _ = git.show(repository, commit, project.environments)
    try:
        return {} if raw is None else parse_pointers(raw.decode("utf-8", "replace"))
    except FtspecError:
        return {}
