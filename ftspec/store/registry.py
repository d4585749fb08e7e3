"""Registered models: `models/<name>/<version>/`, and the pointer `models/<name>/current`.

Versions are v1, v2, …; a number is never given twice, also not after a delete.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.plan.codec import hash_of
from ftspec.store.environments import environments_lock, pointers_to
from ftspec.store.files import (
    clean_leftovers,
    discard,
    file_sha256,
    files_below,
    partial_path,
    write_atomically,
)
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.records import ModelRow, forget_model, insert_rows

REGISTRATION = ".registration.json"
ADAPTER = "adapter"  # folder of an adapter, inside a registered model and inside a train artefact
_CURRENT = "current"
_HIGHEST = "highest"
_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")
_VERSION = re.compile(r"^v([1-9]\d*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    name: str
    version: str
    path: Path
    digest: str  # over names and digests of the files
    registered: str  # ISO 8601, UTC
    meta: dict[str, Any]  # run_id, spec_hash, plan_digest, metrics, …: whatever was registered with it
    current: bool

    @property
    def number(self) -> int:
        return int(self.version[1:])

    @property
    def kind(self) -> str:
        """Embedding | LLM. Versions of earlier releases do not say, and are embeddings."""
        return str(self.meta.get("kind", "Embedding"))

    @property
    def space_id(self) -> str | None:
        """Which vectors those of this model may be compared with; None for models that make none, and for
        versions of earlier releases."""
        value = self.meta.get("space_id")
        return value if isinstance(value, str) else None

    @property
    def tainted(self) -> tuple[str, ...]:
        """Inputs that changed while the run that made it went on, in words."""
        return tuple(str(each) for each in self.meta.get("tainted", ()))

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapter, in its library's own layout; None for a version without one."""
        folder = self.path / ADAPTER
        return folder if self.kind == "LLM" and folder.is_dir() else None

    @property
    def is_whole(self) -> bool:
        """Does the folder load without its base?"""
        return (self.path / "config.json").is_file() or self.kind != "LLM"


def register_model(
    project: Project, name: str, folder: Path, meta: dict[str, Any], *, make_current: bool = True
) -> RegisteredModel:
    """Copy a model folder in as the next version, and point `current` at it.

    Idempotent: the same files, or the same `meta["key"]` (the key of the register stage), find the
    version that is there, if it is whole; what a tainted run made is not that. Call it under the project's lease.
    """
    assert _NAME.match(name), name
    project.create()
    home = project.models / name
    home.mkdir(parents=True, exist_ok=True)
    clean_leftovers(home)
    digest = folder_digest(folder)
    key = meta.get("key")
    for model in _versions(project, name):
        same_key = key is not None and model.meta.get("key") == key
        is_it = model.digest == digest or (same_key and model.tainted == tuple(meta.get("tainted", ())))
        if is_it and is_intact(model):
            present = model
            break
    else:
        present = _add(home, folder, digest, meta)
    if make_current:
        set_current(project, name, present.version)
    found = find_model_version(project, name, present.version)[0]
    assert found is not None
    return found


def list_models(project: Project, name: str | None = None) -> tuple[RegisteredModel, ...]:
    """Every version of every model (or of one), by name and number."""
    if not project.models.is_dir():
        return ()
    names = sorted(path.name for path in project.models.iterdir() if _NAME.match(path.name))
    return tuple(model for each in names if name in (None, each) for model in _versions(project, each))


def find_model_version(
    project: Project, name: str, version: str | None = None
) -> tuple[RegisteredModel | None, Diagnostics]:
    """A version, by default the current one; FTS615 when there is none."""
    found = Diagnostics()
    versions = tuple(_versions(project, name)) if _NAME.match(name) else ()
    for model in versions:
        if model.version == version or (version is None and model.current):
            return model, found
    names = sorted({model.name for model in list_models(project)})
    if not versions:
        detail = f"`{name}`; there is " + (", ".join(names) if names else "none yet")
    elif version is None:
        detail = f"`{name}` has no current version; it has {', '.join(m.version for m in versions)}"
    else:
        detail = f"`{name}` has no version `{version}`; it has {', '.join(m.version for m in versions)}"
    found.add(codes.REGISTERED_MODEL_NOT_FOUND, detail, help="`ftspec models list` lists them")
    return None, found


def current_version(home: Path) -> str | None:
    """What the pointer in `models/<name>` names; None where nothing is current."""
    return _text(home / _CURRENT) or None


def set_current(project: Project, name: str, version: str) -> None:
    """Swap the pointer in one step; the version must exist."""
    home = project.models / name
    assert (home / version / REGISTRATION).is_file(), f"{name} has no {version}"
    write_atomically(home / _CURRENT, version + "\n")


def delete_model(project: Project, name: str, version: str) -> None:
    """Delete a version and its row. After the current one nothing is current: queries fall back to the
    base model. Raises FTS615 when it does not exist, FTS685 when an environment points to it."""
    model, found = find_model_version(project, name, version)
    if model is None:
        raise FtspecError(*found)
    with environments_lock(project):
        refuse_promoted(project, (model,))
        if model.current:
            (project.models / name / _CURRENT).unlink()
        discard(model.path)
    ledger = Ledger(project)
    if ledger.exists:
        forget_model(ledger, name, version)


def refuse_promoted(project: Project, models: Iterable[RegisteredModel]) -> None:
    """Raise FTS685 for versions that environments point to. Of one whose files are no longer those that were
    promoted nothing is lost."""
    pointed = [(model, pointers_to(project, model.name, model.version)) for model in models]
    raised = [
        Diagnostic(
            code=codes.VERSION_PROMOTED,
            detail=f"{model.name} {model.version} is in {', '.join(each.environment for each in places)}",
            help=f"ftspec rollback {model.name} --to {places[0].environment}, or promote another version",
        )
        for model, places in pointed
        if places and is_intact(model)
    ]
    if raised:
        raise FtspecError(*raised)


def is_intact(model: RegisteredModel) -> bool:
    """Are its files those that were registered? Reads all of them."""
    return model.path.is_dir() and folder_digest(model.path) == model.digest


def note_model(project: Project, model: RegisteredModel) -> None:
    """Enter a version into the ledger that no run record speaks of, if there is a ledger."""
    ledger = Ledger(project)
    if ledger.exists:
        with ledger.write() as db:
            insert_rows(db, [model_row(project, model)])


def folder_digest(folder: Path) -> str:
    """`sha256:` over names and digests of all files but the registration."""
    entries = {name: file_sha256(path) for name, path in files_below(folder) if name != REGISTRATION}
    return hash_of(entries)


def verify_models(project: Project) -> Diagnostics:
    """FTS612 for each version whose files are no longer the registered ones."""
    found = Diagnostics()
    for model in list_models(project):
        if folder_digest(model.path) != model.digest:
            found.add(
                codes.ARTIFACT_DAMAGED,
                f"{project.relative(model.path)}: its files are not the registered ones",
                help="delete this version, and apply again",
            )
    return found


def model_row(project: Project, model: RegisteredModel) -> ModelRow:
    return ModelRow(
        name=model.name,
        version=model.version,
        digest=model.digest,
        run_id=model.meta.get("run_id"),
        spec_hash=model.meta.get("spec_hash"),
        plan_digest=model.meta.get("plan_digest"),
        path=project.relative(model.path),
        registered=model.registered,
        meta=model.meta,
    )


def _add(home: Path, folder: Path, digest: str, meta: dict[str, Any]) -> RegisteredModel:
    number = 1 + max([_highest(home), *(_number(path.name) for path in home.iterdir())])
    version = f"v{number}"
    write_atomically(home / _HIGHEST, f"{number}\n")
    registered = datetime.now(UTC).isoformat(timespec="seconds")
    partial = partial_path(home, version)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    document = {"version": version, "digest": digest, "registered": registered, "meta": meta}
    write_atomically(partial / REGISTRATION, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    partial.rename(home / version)
    return RegisteredModel(
        name=home.name,
        version=version,
        path=home / version,
        digest=digest,
        registered=registered,
        meta=meta,
        current=False,
    )


def _versions(project: Project, name: str) -> Iterator[RegisteredModel]:
    home = project.models / name
    if not home.is_dir():
        return
    current = current_version(home)
    for path in sorted(home.iterdir(), key=lambda path: _number(path.name)):
        if not _VERSION.match(path.name):
            continue
        try:
            document = json.loads((path / REGISTRATION).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not put there by register_model
        yield RegisteredModel(
            name=name,
            version=path.name,
            path=path,
            digest=document["digest"],
            registered=document["registered"],
            meta=document["meta"],
            current=path.name == current,
        )


def _number(name: str) -> int:
    match = _VERSION.match(name)
    return int(match[1]) if match else 0


def _highest(home: Path) -> int:
    text = _text(home / _HIGHEST)
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
