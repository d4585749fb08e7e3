"""What `ftspec gc` removes, and how much of the disk comes back."""

from collections.abc import Sequence
from typing import Any, Protocol

from ftspec.view.amounts import count_text
from ftspec.view.table import render_table


class Garbage(Protocol):
    """One thing that goes; see `driver.gc.Item`."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


_NOUNS = {"model": "version", "run": "run folder", "artifact": "artefact", "index": "embedded corpus"}
_PLURAL = {"embedded corpus": "embedded corpora"}


def render_garbage(items: Sequence[Garbage], freed_bytes: int, *, width: int | None = None) -> str:
    if not items:
        return "nothing to remove\n"
    rows = [(_NOUNS[each.kind], each.name, size_text(each.size_bytes)) for each in items]
    table = render_table(("what", "name", "size"), rows, right=(False, False, True), width=width)
    counts = [
        f"{number} {_PLURAL[noun]}" if number > 1 and noun in _PLURAL else count_text(number, noun)
        for kind, noun in _NOUNS.items()
        if (number := sum(each.kind == kind for each in items))
    ]
    return f"{table}\n{', '.join(counts)}: {size_text(freed_bytes)} of the disk come back\n"


def size_text(size_bytes: int) -> str:
    """`0 B`, `12.3 KiB`, `4.5 GiB`: also of what is small."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def garbage_document(items: Sequence[Garbage], freed_bytes: int) -> dict[str, Any]:
    return {
        "freed_bytes": freed_bytes,
        "items": [{"kind": each.kind, "name": each.name, "size_bytes": each.size_bytes} for each in items],
    }
