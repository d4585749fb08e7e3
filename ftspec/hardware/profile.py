"""The YAML form of a machine: what `ftspec doctor --save` writes and `--hardware` reads."""

import re
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ftspec.hardware.linux import RELEVANT_FLAGS
from ftspec.hardware.model import Accelerator, Cpu, Hardware

_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|KiB|MiB|GiB|TiB)")

Size = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|TiB)$")]
Count = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class CpuProfile(_Part):
    model: Text | None = None
    """Name for people, e.g. `AMD EPYC 7R13`."""
    architecture: Text
    """`x86_64` or `arm64`."""
    physical_cores: Count | None = None
    """Cores without hardware threads."""
    usable_cores: Count
    """Hardware threads that a process may use at once."""
    mhz: Count | None = None
    """Sustained clock in MHz."""
    flags: list[str] = Field(default_factory=list)
    """Instruction sets that decide precision and speed, as /proc/cpuinfo names them."""

    @field_validator("flags")
    @classmethod
    def _known_flags(cls, flags: list[str]) -> list[str]:
        for flag in flags:
            if flag not in RELEVANT_FLAGS:
                close = get_close_matches(flag, RELEVANT_FLAGS, n=1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                raise ValueError(f"no plan depends on a flag `{flag}`{hint}")
        return flags


class AcceleratorProfile(_Part):
    count: Count = 1
    """Number of equal devices."""
    kind: Literal["cuda", "rocm", "mps"]
    """Runtime that drives it."""
    name: Text
    """As the driver reports it."""
    memory: Size | None = None
    """What a process may use, e.g. `79.1GiB`; on Apple the recommended working set."""
    compute_capability: Text | None = None
    """`"9.0"` (in quotes) for NVIDIA, `gfx942` for AMD."""
    bf16: bool
    """Multiplies bf16 natively."""
    fp16: bool
    """Multiplies fp16 natively."""
    peak_tflops_fp32: Rate | None = None
    """Dense fp32 outside tensor cores, 10¹² operations a second."""
    peak_tflops_bf16: Rate | None = None
    """Dense bf16 on tensor cores."""
    peak_tflops_fp16: Rate | None = None
    """Dense fp16 on tensor cores."""
    memory_gb_per_second: Rate | None = None
    """Bandwidth of its memory, 10⁹ bytes a second."""
    shares_memory: bool = False
    """Its memory is the CPU's memory."""


class Profile(_Part):
    """A machine to plan for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    """Name of the machine in plans."""
    description: str = ""
    """One sentence for people."""
    os: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] = "linux"
    """Operating system: `linux`, `darwin`, `windows`, or what Python's `platform.system()` says."""
    cpu: CpuProfile
    """Processor."""
    memory: Size
    """Main memory that a process may use, e.g. `24GiB`."""
    accelerators: list[AcceleratorProfile] = Field(default_factory=list)
    """GPUs, in the order in which the runtime numbers them."""

    def hardware(self) -> Hardware:
        accelerators = [
            Accelerator(
                memory_bytes=parse_size(group.memory) if group.memory is not None else None,
                **group.model_dump(exclude={"count", "memory"}),
            )
            for group in self.accelerators
            for _ in range(group.count)
        ]
        cpu = self.cpu.model_dump() | {"flags": tuple(sorted(set(self.cpu.flags)))}
        return Hardware(
            name=self.name,
            os=self.os,
            cpu=Cpu(**cpu),
            memory_bytes=parse_size(self.memory),
            accelerators=tuple(accelerators),
        )


def profile_of(hardware: Hardware, name: str) -> Profile:
    """The inverse of `Profile.hardware`: what is free at the moment is left out."""
    groups: list[tuple[Accelerator, int]] = []
    for accelerator in hardware.accelerators:
        if groups and groups[-1][0] == accelerator:
            groups[-1] = (accelerator, groups[-1][1] + 1)
        else:
            groups.append((accelerator, 1))
    return Profile.model_validate(
        {
            "name": name,
            "os": hardware.os,
            "cpu": {**_fields(hardware.cpu), "flags": list(hardware.cpu.flags)},
            "memory": format_size(hardware.memory_bytes),
            "accelerators": [{"count": count, **_accelerator_fields(item)} for item, count in groups],
        }
    )


def parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    assert match is not None, f"{text!r} was accepted as a size"
    return round(float(match[1]) * _UNITS[match[2]]) if "." in match[1] else int(match[1]) * _UNITS[match[2]]


def format_size(count: int) -> str:
    """Exact: the largest unit that divides it."""
    for unit, factor in reversed(_UNITS.items()):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"


def _accelerator_fields(accelerator: Accelerator) -> dict[str, object]:
    fields = _fields(accelerator)
    memory_bytes = accelerator.memory_bytes
    del fields["memory_bytes"]
    return fields | {"memory": format_size(memory_bytes) if memory_bytes is not None else None}


def _fields(part: Cpu | Accelerator) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__slots__}
