"""A machine, as far as plans depend on it. Unknown facts are None; nothing is made up."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

GIB = 1024**3
MIB = 1024**2

# FP32 operations that one core retires per cycle, for the widest unit that the flags name: lanes × 2
# (a fused multiply-add counts two) × units. Two 256-bit FMA units: Haswell, Zen 2 and later. For
# AVX-512 one 512-bit unit (or two halves, Zen 4) is certain; servers with two reach twice of it.
_OPERATIONS_PER_CYCLE = (
    ("avx512f", 32),
    ("avx2", 32),
    ("avx", 16),
    ("sve", 16),
    ("asimd", 16),
    ("sse2", 8),
)
_BASELINE_OPERATIONS = 8  # 128-bit units without fused multiply-add: what x86-64 and arm64 guarantee
_UNKNOWN_MHZ = 2000  # a slow server core, so that the estimate errs towards a long wall time


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    model: str | None
    architecture: str  # x86_64 | arm64 | what the system says
    physical_cores: int | None  # without hardware threads, among the CPUs this process may run on
    usable_cores: int  # hardware threads by affinity, capped by the cgroup's quota (rounded up)
    mhz: int | None  # highest sustained clock that the system states, in steps of 100
    flags: tuple[str, ...]  # sorted; only those in `detect` lists; empty where the system hides them

    @property
    def bf16(self) -> bool:
        """True where bf16 autocast beats fp32: a multiplier for it, not an emulation."""
        return "avx512_bf16" in self.flags or "amx_bf16" in self.flags

    @property
    def gflops_fp32(self) -> float:
        """Estimated peak in units of 10⁹ operations a second: cores × GHz × operations per cycle.

        Hardware threads share a core's units, hence the physical cores where they are known.
        """
        cores = min(self.usable_cores, self.physical_cores or self.usable_cores)
        per_cycle = next(
            (count for flag, count in _OPERATIONS_PER_CYCLE if flag in self.flags), _BASELINE_OPERATIONS
        )
        if self.model is not None and self.model.startswith("Apple"):
            per_cycle = 32  # four 128-bit NEON units per performance core
        return cores * (self.mhz or _UNKNOWN_MHZ) / 1000 * per_cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device. Peaks are of dense arithmetic, as vendors state them; bandwidth in 10⁹ bytes/s."""

    kind: str  # cuda | rocm | mps
    name: str
    memory_bytes: int | None  # what a process may use; on Apple the recommended working set
    compute_capability: str | None  # "9.0", "gfx942"
    bf16: bool  # natively, at more than the fp32 rate
    fp16: bool
    peak_tflops_fp32: float | None = None
    peak_tflops_bf16: float | None = None
    peak_tflops_fp16: float | None = None
    memory_gb_per_second: float | None = None
    shares_memory: bool = False  # with the CPU: Apple, APUs, Grace superchips


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    name: str  # of the profile, or "this-machine"
    os: str  # linux | darwin | windows
    cpu: Cpu
    memory_bytes: int  # total, or the tightest cgroup limit
    memory_free_bytes: int | None = None  # None: a profile
    disk_free_bytes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def cpu_gflops_fp32(self) -> float:
        """An estimate, see `Cpu.gflops_fp32`."""
        return self.cpu.gflops_fp32

    def digest(self) -> str:
        """Of everything that decisions depend on: not the name, nor what is free at the moment."""
        document = asdict(self)
        for passing in ("name", "memory_free_bytes", "disk_free_bytes"):
            del document[passing]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def summary(self) -> str:
        """One line for people: accelerators first, then cores and memory."""
        cores = f"{self.cpu.usable_cores} CPU core" + ("s" if self.cpu.usable_cores != 1 else "")
        parts = [*accelerator_lines(self.accelerators)]
        parts.append(f"{cores} ({self.cpu.model})" if self.cpu.model else cores)
        parts.append(format_bytes(self.memory_bytes))
        return ", ".join(parts)

    def facts(self) -> dict[str, str | int | float | bool | None]:
        """What decisions depend on, flat, for a plan to show and compare."""
        facts: dict[str, str | int | float | bool | None] = {
            "os": self.os,
            "memory_bytes": self.memory_bytes,
            "cpu.model": self.cpu.model,
            "cpu.architecture": self.cpu.architecture,
            "cpu.physical_cores": self.cpu.physical_cores,
            "cpu.usable_cores": self.cpu.usable_cores,
            "cpu.mhz": self.cpu.mhz,
            "cpu.flags": " ".join(self.cpu.flags),
            "cpu.gflops_fp32": round(self.cpu_gflops_fp32, 1),
            "num_accelerators": len(self.accelerators),
        }
        for index, accelerator in enumerate(self.accelerators):
            facts.update({f"accelerators.{index}.{key}": value for key, value in asdict(accelerator).items()})
        return facts


def accelerator_lines(accelerators: tuple[Accelerator, ...]) -> list[str]:
    """`["8 × NVIDIA H100 80GB HBM3 (79.6 GiB)"]`: equal devices in one line, in order."""
    groups = Counter((item.name, item.memory_bytes) for item in accelerators)
    lines = []
    for (name, memory_bytes), count in groups.items():
        memory = f" ({format_bytes(memory_bytes)})" if memory_bytes is not None else ""
        lines.append((f"{count} × " if count > 1 else "") + name + memory)
    return lines


def format_bytes(count: float) -> str:
    """Binary units: `24.0 GiB`, `512 MiB`, `2.0 TiB`."""
    if count >= 1024 * GIB:
        return f"{count / (1024 * GIB):.1f} TiB"
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def hardware_from_facts(
    name: str, facts: Mapping[str, str | int | float | bool | None], digest: str
) -> Hardware | None:
    """The machine that `Hardware.facts` was asked of; None where its digest is another, as for facts that an
    older version took."""
    try:
        hardware = Hardware(name=name, **_fields(facts))
    except (KeyError, TypeError, ValueError):
        return None
    return hardware if hardware.digest() == digest else None


def _fields(facts: Mapping[str, Any]) -> dict[str, Any]:
    names = [each.name for each in fields(Accelerator)]
    return {
        "os": facts["os"],
        "memory_bytes": facts["memory_bytes"],
        "cpu": Cpu(
            model=facts["cpu.model"],
            architecture=facts["cpu.architecture"],
            physical_cores=facts["cpu.physical_cores"],
            usable_cores=facts["cpu.usable_cores"],
            mhz=facts["cpu.mhz"],
            flags=tuple(facts["cpu.flags"].split()),
        ),
        "accelerators": tuple(
            Accelerator(**{key: facts[f"accelerators.{index}.{key}"] for key in names})
            for index in range(facts["num_accelerators"])
        ),
    }
