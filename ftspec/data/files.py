"""How the data room writes: whole folders or none, bytes that depend on content only."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_lines(file: Path, items: Iterable[dict[str, Any]], *, sort_keys: bool = True) -> None:
    """One object a line. Without `sort_keys` keys keep their order, which chat templates show to the model."""
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for item in items:
            out.write(json.dumps(item, ensure_ascii=False, sort_keys=sort_keys) + "\n")


def write_document(file: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1)
    file.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the block ends well. An empty `out` is replaced, a full one too."""
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
