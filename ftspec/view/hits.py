"""The documents that were found for a query."""

from collections.abc import Sequence
from typing import Any, Protocol

from ftspec.view.safe_text import safe
from ftspec.view.table import cut


class Hit(Protocol):
    """A document that was found, as `serve.query.Hit` has it."""

    @property
    def rank(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def text(self) -> str: ...


_LINES = 4  # of each document
_INDENT = 4


def render_hits(hits: Sequence[Hit], *, width: int) -> str:
    """Rank, score, id, and the first lines of each document, cut at the terminal's edge."""
    blocks = []
    for hit in hits:
        lines = [cut(f"{hit.rank:>2}  {hit.score:.3f}  {safe(' '.join(hit.id.split()))}", width)]
        shown = [line for line in hit.text.splitlines() if line.strip()]
        lines += [" " * _INDENT + cut(safe(line), width - _INDENT) for line in shown[:_LINES]]
        if len(shown) > _LINES:
            rest = len(shown) - _LINES
            lines.append(" " * _INDENT + f"… {rest} more line{'' if rest == 1 else 's'}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def hits_document(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The same as JSON values, with whole texts."""
    return [{"rank": hit.rank, "id": hit.id, "score": hit.score, "text": hit.text} for hit in hits]
