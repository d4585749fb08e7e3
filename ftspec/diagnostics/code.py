"""A diagnostic code, and the table that all of them stand in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`summary` is a constant sentence; `explanation` is what `ftspec explain CODE` prints."""

    id: str
    severity: str
    summary: str
    explanation: str


_TABLE: dict[str, Code] = {}


def define(id: str, severity: str, summary: str, explanation: str) -> Code:
    assert id not in _TABLE, f"{id} is defined twice"
    code = Code(id, severity, summary, explanation)
    _TABLE[id] = code
    return code


def find_code(id: str) -> Code | None:
    return _TABLE.get(id.upper())


def all_codes() -> tuple[Code, ...]:
    return tuple(_TABLE[id] for id in sorted(_TABLE))
