"""When to stop: the parent died, or someone asked for it."""

import os
import signal
import sys
import threading
from types import FrameType

ORPHANED = 143


def watch_parent() -> None:
    """With FTSPEC_WATCH_STDIN=1: end this process at once when stdin closes, i.e. the parent is gone.

    A daemon thread blocks in a read; it takes no time and survives a main thread that is deep in C code.
    """
    if os.environ.get("FTSPEC_WATCH_STDIN") == "1":
        threading.Thread(target=_wait_for_end, name="watch-parent", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 4096):
        pass
    sys.stderr.write("the parent process is gone: stopping\n")
    sys.stderr.flush()
    os._exit(ORPHANED)


class StopRequest:
    """SIGINT and SIGTERM set `asked`; the loops look at it between steps. A second signal kills."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.asked = True
        signal.signal(number, signal.SIG_DFL)
