"""What a run says while it runs: `events.jsonl`, one JSON object a line, appended by its programs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.plan.frozen import FrozenMap

EVENTS_FILE = "events.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`event`: start, progress, log, eval, checkpoint, resumed, warning, end or error; `values` are its
    other keys, e.g. done, total and unit of a progress."""

    time: float  # seconds since the epoch
    stage: str
    event: str
    values: Mapping[str, Any] = FrozenMap()


def read_events(path: Path, offset: int = 0) -> tuple[tuple[Event, ...], int]:
    """The events behind `offset` (bytes), and the offset to go on from.

    A last line without its newline is still being written and left for the next call. Any other line
    that cannot be read raises FTS623. No file yet: no events.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return (), offset
    end = data.rfind(b"\n") + 1
    events = []
    position = offset
    for line in data[:end].splitlines(keepends=True):
        if line.strip():
            events.append(_parse(line, path, position))
        position += len(line)
    return tuple(events), position


def drop_torn_line(path: Path) -> int:
    """Cut off a last line that a dead writer left unfinished, so that the next one starts afresh; the
    number of bytes that are left. Call it while no program of the run is alive."""
    try:
        with path.open("r+b") as file:
            data = file.read()
            end = data.rfind(b"\n") + 1
            file.truncate(end)
    except FileNotFoundError:
        return 0
    return end


def _parse(line: bytes, path: Path, position: int) -> Event:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise _damaged(path, position, str(error)) from error
    match document:
        case {"time": float() | int() as time, "stage": str(stage), "event": str(event), **values}:
            return Event(
                time=float(time),
                stage=stage,
                event=event,
                values=FrozenMap({str(key): value for key, value in values.items()}),
            )
        case _:
            raise _damaged(path, position, "it lacks time, stage or event")


def _damaged(path: Path, position: int, reason: str) -> FtspecError:
    place = f"{path.parent.name}/{path.name}, byte {position}"
    return FtspecError(Diagnostic(code=codes.EVENTS_DAMAGED, detail=f"{place}: {reason}"))
