"""Results go to stdout, and a reader that closes it early (`| head`) ends the command quietly."""

import os
import shutil
import sys


def write_result(text: str) -> None:
    """Write to stdout and flush. Ends the process with code 0 when nobody reads any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def write_message(text: str) -> None:
    """Write a line for people to stderr."""
    print(text, file=sys.stderr, flush=True)


def result_width() -> int | None:
    """Columns to fit results into; None when they go to a file or a program, which get all of it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
