"""What differs between two locks, or between a lock and what is there: entries, and which of their fields."""

from collections.abc import Iterator
from dataclasses import dataclass

from ftspec.plan.contract import Lock, LockedModel, LockedSource
from ftspec.plan.frozen import FrozenMap

_FILES_SHOWN = 3
Place = tuple[str | int, ...]  # key of the spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry that differs; None: it is not there. `fields`: name, locked, present."""

    section: str  # model | data | package
    key: str
    change: str  # missing | moved | surplus
    fields: tuple[tuple[str, str, str], ...] = ()
    place: Place = ()

    def sentence(self) -> str:
        told = ", ".join(
            f"{name}: {old} → {new}" if name else f"{old} → {new}" for name, old, new in self.fields
        )
        word = {"missing": "is not in the lock", "surplus": "is needed by no spec", "moved": told}[
            self.change
        ]
        name = {"model": "base model", "data": "data source", "package": "package"}[self.section]
        return f"{name} {self.key}: {word}" if self.change == "moved" else f"{name} {self.key} {word}"


def moved_model(key: str, old: LockedModel, new: LockedModel) -> Change:
    return Change(section="model", key=key, change="moved", fields=tuple(moved_model_fields(old, new)))


def moved_source(key: str, old: LockedSource, new: LockedSource) -> Change:
    return Change(section="data", key=key, change="moved", fields=tuple(moved_source_fields(old, new)))


def moved_model_fields(old: LockedModel, new: LockedModel) -> Iterator[tuple[str, str, str]]:
    """The revision, and the files that differ, or the digest where no file does."""
    if old.revision != new.revision:
        yield "revision", old.revision or "none", new.revision or "none"
    names = sorted(
        name for name in old.files.keys() | new.files.keys() if old.files.get(name) != new.files.get(name)
    )
    for name in names[:_FILES_SHOWN]:
        yield name, short_digest(old.files.get(name)), short_digest(new.files.get(name))
    if len(names) > _FILES_SHOWN:
        yield "files", f"{len(old.files)}", f"{len(new.files)}, of which {len(names)} differ"
    if not names and old.digest != new.digest:
        yield "digest", short_digest(old.digest), short_digest(new.digest)


def moved_source_fields(old: LockedSource, new: LockedSource) -> Iterator[tuple[str, str, str]]:
    if old.type != new.type:
        yield "type", old.type, new.type
    if old.columns != new.columns:
        yield "columns", ", ".join(old.columns) or "none", ", ".join(new.columns) or "none"
    if old.digest != new.digest or old.rows != new.rows:
        yield "", f"{old.rows} rows {short_digest(old.digest)}", f"{new.rows} rows {short_digest(new.digest)}"


def moved_packages(old: FrozenMap[str], new: FrozenMap[str], backend: str) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            fields = (("", old.get(name, "none"), new.get(name, "none")),)
            yield Change(section="package", key=f"{name} of {backend}", change="moved", fields=fields)


def changes_between(old: Lock, new: Lock) -> Iterator[Change]:
    """What `ftspec lock` does to the file."""
    for key in sorted(old.models.keys() | new.models.keys()):
        before, after = old.models.get(key), new.models.get(key)
        if before is None or after is None:
            yield Change(section="model", key=key, change="missing" if before is None else "surplus")
        elif before != after:
            yield moved_model(key, before, after)
    for key in sorted(old.data.keys() | new.data.keys()):
        earlier, later = old.data.get(key), new.data.get(key)
        if earlier is None or later is None:
            yield Change(section="data", key=key, change="missing" if earlier is None else "surplus")
        elif earlier != later:
            yield moved_source(key, earlier, later)
    for backend in sorted(old.packages.keys() | new.packages.keys()):
        if backend not in old.packages:
            yield Change(section="package", key=f"of {backend}", change="missing")
        elif backend in new.packages:
            yield from moved_packages(old.packages[backend], new.packages[backend], backend)


def short_digest(digest: str | None) -> str:
    return "none" if digest is None else digest.removeprefix("sha256:")[:12]
