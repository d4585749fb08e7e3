"""Glob patterns over relative paths with `/`: `*` and `?` stay in one part, `**` spans any number."""

import re
from collections.abc import Iterable


def _regex(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            parts.append("(?:[^/]+/)*")
            position += 3
        elif rest.startswith("**"):
            parts.append(".*")
            position += 2
        else:
            symbol = rest[0]
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(symbol, re.escape(symbol)))
            position += 1
    return "".join(parts)


def _any(patterns: Iterable[str]) -> re.Pattern[str] | None:
    sources = [_regex(pattern.removeprefix("./")) for pattern in patterns]
    return re.compile("|".join(f"(?:{source})" for source in sources)) if sources else None


class Globs:
    """Which files are read: those that match a pattern of `include` and none of `exclude`."""

    def __init__(self, *, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self._include = _any(include)
        self._exclude = _any(exclude)
        # a folder that `x/**` leaves out need not be listed
        self._prune = _any(pattern.removesuffix("/**") for pattern in exclude if pattern.endswith("/**"))

    def matches(self, name: str) -> bool:
        included = self._include is not None and self._include.fullmatch(name) is not None
        return included and not (self._exclude is not None and self._exclude.fullmatch(name))

    def prunes(self, folder: str) -> bool:
        return self._prune is not None and self._prune.fullmatch(folder) is not None
