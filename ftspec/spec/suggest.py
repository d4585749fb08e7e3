"""Did you mean …?"""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, or None."""
    words = list(known)
    folded = {candidate.lower(): candidate for candidate in words}
    key = word[:80].lower().replace("-", "_")
    if key in folded:
        return folded[key]
    close = get_close_matches(key, folded, n=1, cutoff=0.65)
    return folded[close[0]] if close else None


def listed(words: Iterable[object], last: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    if len(quoted) <= 1:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def shorten(text: str, width: int = 60) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split()) if "\n" in text else text
    return line if len(line) <= width else line[: width - 1] + "…"
