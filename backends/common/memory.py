"""Peak memory of a stage, in bytes."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def start_peak(device: str) -> None:
    """Forget the peak of earlier stages of this process, where the system can."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    try:
        _CLEAR.write_text("5")  # resets VmHWM; Linux only
    except OSError:
        return


def peak_bytes(device: str) -> int:
    """On CUDA what the allocator reserved at most, else the resident set's high-water mark."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_reserved())
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: the process' own count, which no stage can reset
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
