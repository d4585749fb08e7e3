"""Runs whose outputs `ftspec gc` took: their records stay, and nobody is alarmed that their artefacts are gone."""

import json
from collections.abc import Sequence
from pathlib import Path

from ftspec.store.files import write_atomically

_FILE = "collected.json"


def mark_collected(run_folder: Path, *, when: str, removed: Sequence[str]) -> None:
    document = {"collected": when, "removed": sorted(removed)}
    write_atomically(run_folder / _FILE, json.dumps(document, indent=1) + "\n")


def is_collected(run_folder: Path) -> bool:
    return (run_folder / _FILE).is_file()
