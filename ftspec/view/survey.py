"""How far a survey of data is, on stderr: once it takes a while, so that short ones show nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TERMINAL_SECONDS = (2.0, 0.2)  # before the first line, between lines
_PLAIN_SECONDS = (10.0, 10.0)
_CLEAR = "\r\x1b[K"


@contextmanager
def survey_view() -> Iterator[Callable[[int, int, str], None]]:
    """A callback that shows progress: one line in a terminal, which goes when the survey ends, or plain lines."""
    terminal = sys.stderr.isatty()
    wait, between = _TERMINAL_SECONDS if terminal else _PLAIN_SECONDS
    due = time.monotonic() + wait
    drawn = False

    def show(done: int, total: int, unit: str) -> None:
        nonlocal due, drawn
        now = time.monotonic()
        if now < due:
            return
        due, drawn = now + between, True
        text = f"Surveying data: {done:,}/{total:,} {unit}"
        print(_CLEAR + text if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if terminal and drawn:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
