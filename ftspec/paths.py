"""Where the folders that ship beside the package are: in a checkout, or inside an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shared_folder(name: str) -> Path:
    """Folder `backends`, `schemas` or `specs`. A checkout wins over the copy in the wheel, which an
    editable install would leave stale."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    folder = _PACKAGE / "_shared" / name
    assert folder.is_dir(), f"{name}/ is missing from this installation"
    return folder
