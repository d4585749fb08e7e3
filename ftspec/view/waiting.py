"""A sign of life from work that cannot report its progress, such as loading a library."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer

_SECONDS = 2.0
_CLEAR = "\r\x1b[K"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """One line on the terminal once it takes a while, gone at the end; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    stream, lock, drawn, ended = sys.stderr, Lock(), False, False

    def draw() -> None:
        nonlocal drawn
        with lock:  # never after the end
            if not ended:
                drawn = True
                print(f"{_CLEAR}{text} …", end="", file=stream, flush=True)

    timer = Timer(_SECONDS, draw)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            ended = True
            if drawn:
                print(_CLEAR, end="", file=stream, flush=True)
