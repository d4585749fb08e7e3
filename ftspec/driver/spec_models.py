"""Registered models that the specs of a project name: as their base, or as the baseline that they are held against."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec.diagnostics.model import FtspecError
from ftspec.driver.specs import project_specs
from ftspec.source.load import load_document
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel

Place = tuple[str, str]  # name and version


def named_versions(project: Project, models: Iterable[RegisteredModel]) -> set[Place]:
    """Name and version of each. Of a name without a version the current one, or else the newest. Raises
    FtspecError for a spec that cannot be read: what it names cannot be told."""
    newest = {model.name: model.version for model in models}  # they count up
    newest |= {model.name: model.version for model in models if model.current}
    found: set[Place] = set()
    for path in project_specs(project.root):
        document, faults = load_document(path)
        if document is None or document.damaged:
            raise FtspecError(*(each for each in faults if each.is_error))
        for name, revision in _named(document.tree):
            if revision is not None:
                found.add((name, revision))
            elif name in newest:
                found.add((name, newest[name]))
            else:
                found.update(_registered_path(project, document.folder, name))
    return found


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for section, key in (("model", "base"), ("evaluation", "baseline")):
        values = tree.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            revision = values.get("revision")
            yield values[key], revision if isinstance(revision, str) else None


def _registered_path(project: Project, folder: Path, written: str) -> Iterator[Place]:
    """A path into the folder of registered models."""
    path = Path(os.path.normpath(folder.absolute() / Path(written)))
    if path.is_relative_to(project.models.absolute()):
        name, version, *_ = (*path.relative_to(project.models.absolute()).parts, "", "")
        yield name, version
