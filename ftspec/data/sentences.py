"""Sentences of a text by their places, for quotes that are verbatim by construction."""

import re

# A stop, closing quotes or brackets, then white space before something that opens a sentence; or the end
# of a line of its own; or a full stop of scripts that set no blanks. A run of stops is looked at once only:
# dotted lines would take quadratic time.
_END = re.compile(
    r"""(?<![.!?…])[.!?…]+["'”’)\]]*(?=\s+["'“‘(\[]?[^\W_a-zß-öø-ÿ])|\n\s*\n|[。！？]+[」』”]?"""
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Gen|Col|Lt|Sgt|Capt|Gov|Sen|Rep|Rev|Hon|Jr|Sr|vs|etc|No|Nos"
    r"|Vol|Fig|Eq|cf|ca|approx|Inc|Ltd|Co|Corp|Bros|Mt|Ft|Ave|Blvd|Dept|Univ|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep"
    r"|Oct|Nov|Dec|e\.g|i\.e|U\.S|U\.K|U\.N|D\.C|a\.m|p\.m|Ph\.D|bzw|z\.B|u\.a|d\.h)\.$"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order, without white space around it; together they hold all else.

    Stops behind initials and common abbreviations end nothing. What is taken for one sentence may be two,
    and the other way round: that costs a longer or shorter quote, never a wrong one.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        stop = match.end()
        if match[0].startswith(".") and _ABBREVIATION.search(text[max(start, stop - 12) : stop]):
            continue
        _add(found, text, start, stop)
        start = stop
    _add(found, text, start, len(text))
    return found


def _add(found: list[tuple[int, int]], text: str, start: int, stop: int) -> None:
    piece = text[start:stop]
    kept = piece.strip()
    if kept:
        left = start + len(piece) - len(piece.lstrip())
        found.append((left, left + len(kept)))


def around(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence, or the run of them, that holds characters [start, end)."""
    held = [each for each in sentences(text) if each[0] < end and each[1] > start]
    return min((held[0][0] if held else start), start), max((held[-1][1] if held else end), end)
