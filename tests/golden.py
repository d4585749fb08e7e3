"""Golden files: compared, or written anew with FTSPEC_GOLDEN=update, which is refused where CI is set."""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "golden"


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """`folder` holds exactly these texts, by relative name."""
    if os.environ.get("FTSPEC_GOLDEN") == "update":
        assert not os.environ.get("CI"), "goldens are not rewritten in CI"
        for name in _names(folder) - files.keys():
            (folder / name).unlink()
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    assert _names(folder) == set(files), "run with FTSPEC_GOLDEN=update, and review what it wrote"
    for name, text in files.items():
        assert text == (folder / name).read_text(encoding="utf-8"), f"{folder.name}/{name}"


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
