"""Outputs of stages, found by the key over everything that could have changed them.

Layout: `artifacts/<stage>/<20 hex of the key>/{manifest.json, files…}`. A folder appears complete or
not at all. The manifest holds the canonical document that the key was taken from, so that entries can
be hashed again when the algorithm changes.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.store.files import clean_leftovers, discard, file_sha256, files_below, partial_path
from ftspec.store.project import Project

MANIFEST = "manifest.json"
_FORMAT = 1
_SMALL_BYTES = 64 * 1024  # `find` reads files up to this size; of larger ones it compares the size
_KEY_DIGITS = 20
_STAGE = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    name: str  # relative, with /
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    stage: str
    key: str
    path: Path
    files: tuple[ArtifactFile, ...]
    document: dict[str, Any]  # what the key was taken over
    algorithm: int  # version of the way it was taken
    created: str  # ISO 8601, UTC
    tainted: tuple[str, ...] = ()  # inputs that changed while it was made, in words: its key may lie

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Artifacts:
    """The artefacts of one project."""

    def __init__(self, project: Project) -> None:
        self._root = project.artifacts
        self._project = project

    def path(self, stage: str, key: str) -> Path:
        """Where the artefact lies, or would lie."""
        assert _STAGE.match(stage), stage
        digits = key.removeprefix("sha256:")[:_KEY_DIGITS]
        assert re.fullmatch(r"[0-9a-f]{20}", digits), f"not a key: {key}"
        return self._root / stage / digits

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artefact when it is whole: every file there with its size, small files with their digest.

        A damaged one counts as absent; `verify` says what is wrong with it.
        """
        folder = self.path(stage, key)
        artifact, _ = _read_manifest(folder)
        if artifact is None or artifact.key != key or artifact.stage != stage:
            return None
        for file in artifact.files:
            if _fault(folder, file, read=file.size_bytes <= _SMALL_BYTES) is not None:
                return None
        return artifact

    def verify(self, stage: str, key: str) -> Diagnostics:
        """Read every file and compare its digest; FTS612 for each fault."""
        return self._verify_folder(self.path(stage, key))

    def verify_all(self) -> Diagnostics:
        """`verify` over everything that is stored."""
        found = Diagnostics()
        for folder in self._folders():
            found.extend(self._verify_folder(folder))
        return found

    def all(self) -> Iterator[Artifact]:
        """Every artefact with a readable manifest, by stage and key."""
        for folder in self._folders():
            artifact, _ = _read_manifest(folder)
            if artifact is not None:
                yield artifact

    def publish(
        self,
        stage: str,
        key: str,
        folder: Path,
        document: dict[str, Any],
        *,
        algorithm: int = 1,
        tainted: tuple[str, ...] = (),
    ) -> Artifact:
        """Move `folder` in, under its key, in one step.

        When a whole artefact of that key is there already it stays, and `folder` is deleted: equal keys
        stand for equal outputs. A damaged or tainted one is replaced.
        """
        assert folder.is_dir(), folder
        self._project.create()
        target = self.path(stage, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        clean_leftovers(target.parent)
        present = self.find(stage, key)
        if present is not None and not present.tainted:
            discard(folder)
            return present
        folder = _onto_same_disk(folder, target)
        (folder / MANIFEST).unlink(missing_ok=True)
        files = tuple(
            ArtifactFile(name=name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
            for name, path in files_below(folder)
        )
        artifact = Artifact(
            stage=stage,
            key=key,
            path=target,
            files=files,
            document=document,
            algorithm=algorithm,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            tainted=tainted,
        )
        _write_manifest(folder, artifact)
        discard(target)
        folder.rename(target)
        return artifact

    def delete(self, stage: str, key: str) -> None:
        """Remove the artefact; absent is fine."""
        discard(self.path(stage, key))

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._root.glob("*/*") if _is_key(path.name) and path.is_dir())

    def _verify_folder(self, folder: Path) -> Diagnostics:
        found = Diagnostics()
        label = self._project.relative(folder)
        artifact, fault = _read_manifest(folder)
        if artifact is None:
            found.add(codes.ARTIFACT_DAMAGED, f"{label}: {fault}", help="`ftspec apply` makes it again")
            return found
        faults = [_fault(folder, file, read=True) for file in artifact.files]
        listed = {file.name for file in artifact.files} | {MANIFEST}
        faults += [f"{name} is not in the manifest" for name, _ in files_below(folder) if name not in listed]
        if self.path(artifact.stage, artifact.key) != folder:
            faults.append("the manifest names another stage or key")
        for text in faults:
            if text is not None:
                found.add(codes.ARTIFACT_DAMAGED, f"{label}: {text}", help="`ftspec apply` makes it again")
        return found


def _is_key(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{20}", name) is not None


def _fault(folder: Path, file: ArtifactFile, *, read: bool) -> str | None:
    path = folder / file.name
    if not path.is_file():
        return f"{file.name} is missing"
    size = path.stat().st_size
    if size != file.size_bytes:
        return f"{file.name} has {size} bytes instead of {file.size_bytes}"
    if read and file_sha256(path) != file.sha256:
        return f"{file.name} was changed"
    return None


def _onto_same_disk(folder: Path, target: Path) -> Path:
    """A folder that one rename can bring to `target`: mostly `folder` itself, which then stays whole
    at its old place until that rename, so that a kill in between loses no work."""
    if folder.stat().st_dev == target.parent.stat().st_dev:
        return folder
    partial = partial_path(target.parent, target.name)
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    shutil.rmtree(folder)
    return partial


def _write_manifest(folder: Path, artifact: Artifact) -> None:
    document = {
        "format": _FORMAT,
        "stage": artifact.stage,
        "key": artifact.key,
        "algorithm": artifact.algorithm,
        "created": artifact.created,
        "files": [
            {"name": file.name, "size_bytes": file.size_bytes, "sha256": file.sha256}
            for file in artifact.files
        ],
        "document": artifact.document,
        **({"tainted": list(artifact.tainted)} if artifact.tainted else {}),
    }
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(folder: Path) -> tuple[Artifact | None, str]:
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, "there is no manifest" if folder.is_dir() else "it is not there"
    except (OSError, ValueError) as error:
        return None, f"the manifest cannot be read: {error}"
    match document:
        case {
            "format": 1,
            "stage": str(stage),
            "key": str(key),
            "algorithm": int(algorithm),
            "created": str(created),
            "files": list(entries),
            "document": dict(content),
        }:
            files = []
            for entry in entries:
                match entry:
                    case {"name": str(name), "size_bytes": int(size), "sha256": str(digest)}:
                        files.append(ArtifactFile(name=name, size_bytes=size, sha256=digest))
                    case _:
                        return None, "the manifest has an entry that cannot be read"
            return Artifact(
                stage=stage,
                key=key,
                path=folder,
                files=tuple(files),
                document=content,
                algorithm=algorithm,
                created=created,
                tainted=tuple(str(each) for each in document.get("tainted", ())),
            ), ""
        case _:
            return None, "the manifest has another form than this version writes"
