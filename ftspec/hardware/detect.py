"""Facts about this machine, without torch and in well under 100 ms."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path

from ftspec.hardware import amd, apple, cgroups, linux, nvidia
from ftspec.hardware.model import MIB, Accelerator, Cpu, Hardware

THIS_MACHINE = "this-machine"
# Kernels keep a few pages more or less from boot to boot; that is no other machine.
_MEMORY_STEP = 64 * MIB


def detect(*, folder: Path | None = None) -> Hardware:
    """This machine as this process may use it: affinity, control groups and hidden devices count.

    `folder`: where free disk space is asked for; default is the working folder.
    """
    root = Path(Path.cwd().anchor)
    environ = dict(os.environ)
    if sys.platform == "linux":
        affinity = os.sched_getaffinity(0)
        hardware = detect_linux(root, environ, machine=platform.machine(), affinity=affinity)
    elif sys.platform == "darwin":
        hardware = detect_darwin(apple.read_sysctl(), machine=platform.machine())
    else:
        hardware = detect_other(root, environ)
    return replace(hardware, disk_free_bytes=_disk_free(folder or Path.cwd()))


def detect_linux(root: Path, environ: Mapping[str, str], *, machine: str, affinity: Set[int]) -> Hardware:
    limits = cgroups.read_limits(root)
    total, free = linux.read_memory(root)
    if total is None:  # /proc is not mounted
        total, free = _memory_by_psutil()
    memory = total if limits.memory_bytes is None else min(total, limits.memory_bytes)
    if free is not None and limits.memory_free_bytes is not None:
        free = min(free, limits.memory_free_bytes)
    return _hardware(
        os_name="linux",
        cpu=linux.read_cpu(root, machine=machine, affinity=affinity, limits=limits),
        memory=memory,
        free=free,
        accelerators=(*_nvidia(root, environ), *amd.read_amd(root, environ)),
    )


def detect_darwin(facts: Mapping[str, str], *, machine: str) -> Hardware:
    cpu, memory, accelerators = apple.read_apple(facts, linux.architecture(machine))
    total, free = _memory_by_psutil()
    return _hardware(os_name="darwin", cpu=cpu, memory=memory or total, free=free, accelerators=accelerators)


def detect_other(root: Path, environ: Mapping[str, str]) -> Hardware:
    """Windows, and what else runs Python: psutil's answers, and NVIDIA's library where it is."""
    import psutil

    total, free = _memory_by_psutil()
    cpu = Cpu(
        model=platform.processor() or None,
        architecture=linux.architecture(platform.machine()),
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=os.cpu_count() or 1,
        mhz=None,
        flags=(),
    )
    os_name = platform.system().lower() or sys.platform
    return _hardware(os_name=os_name, cpu=cpu, memory=total, free=free, accelerators=_nvidia(root, environ))


def _hardware(
    *, os_name: str, cpu: Cpu, memory: int, free: int | None, accelerators: tuple[Accelerator, ...]
) -> Hardware:
    rounded = max(memory // _MEMORY_STEP * _MEMORY_STEP, min(memory, _MEMORY_STEP))
    return Hardware(
        name=THIS_MACHINE,
        os=os_name,
        cpu=cpu,
        memory_bytes=rounded,
        memory_free_bytes=free,
        accelerators=tuple(
            replace(item, memory_bytes=rounded) if item.shares_memory and item.memory_bytes is None else item
            for item in accelerators
        ),
    )


def _nvidia(root: Path, environ: Mapping[str, str]) -> tuple[Accelerator, ...]:
    if not nvidia.driver_present(root):
        return ()
    import pynvml

    return nvidia.read_nvidia(pynvml, environ)


def _memory_by_psutil() -> tuple[int, int]:
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available)


def _disk_free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
