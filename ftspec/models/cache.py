"""Layout of the hub cache: `models--org--name/{refs/<revision>, snapshots/<commit>/…}`."""

import os
import re
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_id(id: str) -> bool:
    """`name` or `organisation/name` as the hub allows them; nothing that could leave a folder."""
    return _ID.fullmatch(id) is not None and ".." not in id and "--" not in id


def is_revision(revision: str) -> bool:
    return _REVISION.fullmatch(revision) is not None and ".." not in revision


def hub_ids(base: str) -> tuple[str, ...]:
    """Ids that `base` may mean: a short name is first one of the sentence-transformers organisation,
    as sentence-transformers itself reads it."""
    return (base,) if "/" in base else (f"sentence-transformers/{base}", base)


def cache_folder() -> Path:
    """Where huggingface_hub keeps snapshots, by the same variables and in the same order."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"]).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"


def find_snapshot(id: str, revision: str | None, cache: Path) -> Path | None:
    """Folder of a snapshot that is complete enough to have a config; None when there is none.

    `revision` is a branch, a tag or a full commit; None is `main`.
    """
    if not is_hub_id(id) or (revision is not None and not is_revision(revision)):
        return None
    repository = cache / f"models--{id.replace('/', '--')}"
    wanted = revision or "main"
    commit: str | None = wanted if _COMMIT.fullmatch(wanted) else None
    if commit is None:
        try:
            commit = (repository / "refs" / wanted).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        if not _COMMIT.fullmatch(commit):
            return None
    snapshot = repository / "snapshots" / commit
    return snapshot if any((snapshot / name).is_file() for name in ("config.json", "modules.json")) else None


def cached_ids(cache: Path) -> list[str]:
    """Ids with a snapshot, for suggestions."""
    try:
        names = [path.name for path in cache.iterdir() if path.name.startswith("models--")]
    except OSError:
        return []
    return sorted(name.removeprefix("models--").replace("--", "/") for name in names)
