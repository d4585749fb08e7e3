"""Text of a trainer's log, made fit to be shown: no colours, no progress bars, no secrets."""

import os
import re
from collections.abc import Mapping

_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
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
    """The last `count` lines that are not blank."""
    lines = [clean_line(line, secrets) for line in data.decode("utf-8", errors="replace").split("\n")]
    return tuple([line for line in lines if line][-count:])
