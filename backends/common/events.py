"""`events.jsonl`: what a run says while it runs, one JSON object a line, appended with one write."""

import json
import math
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BETWEEN_SECONDS = 10.0  # between lines about progress


class Events:
    """An append-only stream. Lines of several writers never mix: each is one write to O_APPEND."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def emit(self, stage: str, event: str, **values: Any) -> None:
        """One line with the time in seconds since 1970. Numbers that JSON lacks (nan, inf) become null."""
        line = {"time": round(time.time(), 3), "stage": stage, "event": event, **finite(values)}
        data = json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
        os.write(self._file, data + b"\n")

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def finite(value: Any) -> Any:
    """The value with every nan and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


class StageEvents:
    """The stream with the stage's name filled in. `silent`, for processes beside the first one of a stage:
    nothing is said but what `insist` says. `aloud`: how far it is also goes to stderr, now and then."""

    def __init__(self, events: Events, stage: str, *, silent: bool = False, aloud: bool = False) -> None:
        self._events = events
        self._silent = silent
        self._aloud = aloud
        self._told = 0.0
        self.stage = stage

    def emit(self, event: str, **values: Any) -> None:
        if not self._silent:
            self._events.emit(self.stage, event, **values)
            if self._aloud:
                self._tell(event, values)

    def _tell(self, event: str, values: dict[str, Any]) -> None:
        """Errors are written by those who find them."""
        now = time.monotonic()
        if event == "start":
            text = "begins"
        elif event == "end":
            text = f"done in {values['seconds']:.0f} s"
        elif event == "progress" and now - self._told >= BETWEEN_SECONDS:
            text = f"{values['done']}/{values['total']} {values['unit']}"
        else:
            return
        self._told = now
        sys.stderr.write(f"{self.stage}: {text}\n")
        sys.stderr.flush()

    def insist(self, event: str, **values: Any) -> None:
        self._events.emit(self.stage, event, **values)

    def progress(self, done: int, total: int, unit: str) -> None:
        self.emit("progress", done=done, total=total, unit=unit)


class CheckFailedError(Exception):
    """A judgement about the run failed; the process ends with exit code 20. `code` is FTSnnn."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class InterruptedRunError(Exception):
    """The run was asked to stop, and what it needs to go on is saved; exit code 130."""
