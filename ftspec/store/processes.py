"""Which processes of this machine live. Marks of their start do not move when a clock is set."""

import os
import socket
from functools import cache
from pathlib import Path

_STATE, _START = 0, 19  # of the fields of /proc/PID/stat behind the name: proc(5) counts them from 3
_GONE = ("Z", "X")  # ended, and not yet collected by its parent


def user_name() -> str:
    """Who runs this process; the number where the system has no name for it, as in some containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def host_name() -> str:
    return socket.gethostname()


@cache
def machine_id() -> str:
    """What must be equal, beside the name of the host, for a PID to mean the same process: containers that
    share a name have PIDs of their own, and so has every boot. Empty where the system tells neither."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def start_mark(pid: int) -> str | None:
    """Tells a process from a later one of the same PID. None: it has ended, or cannot be looked at."""
    fields = _stat_fields(pid)
    if fields is not None:
        return None if fields[_STATE] in _GONE else f"ticks:{fields[_START]}"
    if Path("/proc/self/stat").exists():
        return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"time:{process.create_time():.0f}"
    except psutil.Error:
        return None


def is_alive(pid: int, mark: str) -> bool | None:
    """Does the process of this PID and start live? None: it is another user's, and cannot be looked at."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # a number that no system gives to a process
        return False
    except PermissionError:
        return None if (seen := start_mark(pid)) is None else seen == mark
    return start_mark(pid) == mark


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
