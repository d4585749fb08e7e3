"""Text of a trainer's log, made fit to be shown: no colours, no progress bars, no secrets."""

import os
import re
from collections.abc import Mapping

_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WARNING = re.compile(r":\d+: (Future|User|Deprecation|Runtime|PendingDeprecation)Warning: ")
_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 6  # shorter values would mask ordinary words
MASK = "***"


def secrets_of(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Values of the variables whose names look like secrets, longest first."""
    variables = os.environ if environment is None else environment
    values = {
        value
        for name, value in variables.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


def mask(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def clean_line(line: str, secrets: tuple[str, ...] = ()) -> str:
    """One line as a reader should see it: of a bar drawn over itself only its last state."""
    line = _ANSI.sub("", line).rstrip()
    line = line.rsplit("\r", 1)[-1]
    return mask(_CONTROL.sub("", line), secrets)


def clean_tail(data: bytes, count: int, secrets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The last `count` lines that are not blank and no warning of Python's, unless there is nothing else."""
    lines = [clean_line(line, secrets) for line in data.decode("utf-8", errors="replace").split("\n")]
    said = [line for line in lines if line]
    return tuple((_without_warnings(said) or said)[-count:])


def _without_warnings(lines: list[str]) -> list[str]:
    """A warning is a line that names its category, and the indented source line below it."""
    kept: list[str] = []
    after_warning = False
    for line in lines:
        warning = _WARNING.search(line) is not None
        if not warning and not (after_warning and line.startswith("  ")):
            kept.append(line)
        after_warning = warning
    return kept
