"""Limits that a Linux control group puts on this process, versions 1 and 2 and mixtures of both.

Every function takes the root of the file system, so that a test can give a tree of its own.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_V1_UNLIMITED = 2**62  # version 1 writes "no limit" as the largest multiple of a page below 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The tightest limits over all ancestors; None: no limit."""

    memory_bytes: int | None = None
    memory_free_bytes: int | None = None  # below the limit; reclaimable file cache counts as free
    cpus: float | None = None  # 1.5: one and a half CPUs' time


def read_limits(root: Path = Path("/")) -> Limits:
    memory: list[tuple[int, int | None]] = []
    cpus: list[float] = []
    for folder in _folders(root, "memory", version=1):
        memory.extend(_memory(folder, "memory.limit_in_bytes", "memory.usage_in_bytes"))
    for folder in _folders(root, "cpu", version=1):
        cpus.extend(_quota_v1(folder))
    for folder in _folders(root, "", version=2):
        memory.extend(_memory(folder, "memory.max", "memory.current"))
        memory.extend(_memory(folder, "memory.high", "memory.current"))  # above it: slowed to a crawl
        cpus.extend(_quota_v2(folder))
    free = [unused for _, unused in memory if unused is not None]
    return Limits(
        memory_bytes=min((limit for limit, _ in memory), default=None),
        memory_free_bytes=min(free, default=None),
        cpus=min(cpus, default=None),
    )


def read_text(path: Path) -> str | None:
    """Text of a small kernel file; None where it is absent, hidden from this user or gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    text = read_text(path)
    try:
        return int(text) if text is not None else None
    except ValueError:  # "max", or a kernel that writes something new
        return None


def _folders(root: Path, controller: str, *, version: int) -> Iterator[Path]:
    """This process's group and its ancestors up to the mount point, innermost first."""
    group = _group(root, controller)
    mount = _mount(root, controller, version=version)
    if group is None or mount is None:
        return
    mount_root, mount_point = mount
    # The mount may show a part of the hierarchy only (containers without a cgroup namespace); a group
    # outside of that part is seen as the mount point itself.
    inside = group.relative_to(mount_root) if group.is_relative_to(mount_root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    top = root / str(mount_point).lstrip("/")
    for path in (inside, *inside.parents):
        if (top / path).is_dir():
            yield top / path


def _group(root: Path, controller: str) -> PurePosixPath | None:
    """Path from /proc/self/cgroup; version 2 is the line without controllers."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and controller in parts[1].split(","):
            return PurePosixPath(parts[2])
    return None


def _mount(root: Path, controller: str, *, version: int) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Root within the hierarchy, and mount point, from /proc/self/mountinfo (proc(5))."""
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        before, separator, after = line.partition(" - ")
        fields, super_fields = before.split(), after.split()
        if not separator or len(fields) < 5 or len(super_fields) < 3:
            continue
        options = super_fields[2].split(",")
        if (version == 2 and super_fields[0] == "cgroup2") or (
            version == 1 and super_fields[0] == "cgroup" and controller in options
        ):
            return PurePosixPath(_unescape(fields[3])), PurePosixPath(_unescape(fields[4]))
    return None


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _memory(folder: Path, limit_file: str, usage_file: str) -> Iterator[tuple[int, int | None]]:
    limit = read_number(folder / limit_file)
    if limit is None or limit >= _V1_UNLIMITED:
        return
    usage = read_number(folder / usage_file)
    if usage is None:
        yield limit, None
        return
    yield limit, max(0, limit - max(0, usage - _reclaimable(folder)))


def _reclaimable(folder: Path) -> int:
    """Bytes of file cache that the kernel drops first; version 1 sums over children in `total_`."""
    counts: dict[str, int] = {}
    for line in (read_text(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            counts[name] = int(value)
    return counts.get("total_inactive_file", counts.get("inactive_file", 0))


def _quota_v1(folder: Path) -> Iterator[float]:
    quota = read_number(folder / "cpu.cfs_quota_us")
    period = read_number(folder / "cpu.cfs_period_us")
    if quota is not None and period is not None and quota > 0 and period > 0:
        yield quota / period


def _quota_v2(folder: Path) -> Iterator[float]:
    parts = (read_text(folder / "cpu.max") or "").split()
    if len(parts) == 2 and all(part.isdigit() for part in parts) and int(parts[1]) > 0:
        yield int(parts[0]) / int(parts[1])


def cap_cores(cores: int, cpus: float | None) -> int:
    """Threads worth starting under a quota: rounded up, for 1.5 CPUs keep two threads busier than one."""
    return cores if cpus is None else max(1, min(cores, math.ceil(cpus)))
