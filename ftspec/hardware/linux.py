"""CPU and memory of a Linux machine, from /proc and /sys.

Every function takes the root of the file system, so that a test can give a tree of its own.
"""

import re
from collections.abc import Set
from pathlib import Path

from ftspec.hardware.cgroups import Limits, cap_cores, read_number, read_text
from ftspec.hardware.model import Cpu

# The flags that decide precision or speed; the many others would only make digests move.
RELEVANT_FLAGS = frozenset(
    {"sse2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"}
    | {"amx_tile", "amx_bf16", "amx_int8"}
    | {"asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm", "sme"}
)

# arm64 kernels state numbers instead of names: implementer 0x41 is Arm Ltd; parts from Arm's
# technical reference manuals (MIDR_EL1.PartNum).
_ARM_PARTS = {
    ("0x41", "0xd08"): "ARM Cortex-A72",
    ("0x41", "0xd0b"): "ARM Cortex-A76",
    ("0x41", "0xd0c"): "ARM Neoverse-N1",
    ("0x41", "0xd40"): "ARM Neoverse-V1",
    ("0x41", "0xd49"): "ARM Neoverse-N2",
    ("0x41", "0xd4f"): "ARM Neoverse-V2",
}
_MHZ_STEP = 100


def read_cpu(root: Path, *, machine: str, affinity: Set[int], limits: Limits) -> Cpu:
    """`machine` as `platform.machine()` says it; `affinity`: the CPUs this process may run on."""
    blocks = _cpuinfo(root)
    first = blocks[0] if blocks else {}
    usable = [block for block in blocks if block.get("processor", "").isdigit()]
    mine = [block for block in usable if int(block["processor"]) in affinity] or usable
    flags = (first.get("flags") or first.get("Features") or "").split()
    return Cpu(
        model=_model(first),
        architecture=architecture(machine),
        physical_cores=_physical_cores(root, mine),
        usable_cores=cap_cores(max(1, len(affinity)), limits.cpus),
        mhz=_mhz(root, first),
        flags=tuple(sorted(RELEVANT_FLAGS.intersection(flags))),
    )


def architecture(machine: str) -> str:
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine.lower(), machine.lower())


def read_memory(root: Path) -> tuple[int | None, int | None]:
    """Total and available bytes of the machine, from /proc/meminfo (which counts in KiB)."""
    counts: dict[str, int] = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        match = re.match(r"(\w+):\s+(\d+) kB", line)
        if match:
            counts[match[1]] = int(match[2]) * 1024
    return counts.get("MemTotal"), counts.get("MemAvailable", counts.get("MemFree"))


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """One mapping a CPU; some arm kernels put what is common into a last block."""
    blocks: list[dict[str, str]] = []
    for block in (read_text(root / "proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        fields = {key.strip(): value.strip() for key, separator, value in pairs if separator}
        if fields:
            blocks.append(fields)
    return blocks


def _model(block: dict[str, str]) -> str | None:
    name = block.get("model name")
    if name:
        name = re.sub(r"\((R|TM)\)|\bCPU\b|\b(\d+-Core )?Processor\b|@.*", "", name, flags=re.IGNORECASE)
        return " ".join(name.split())
    return _ARM_PARTS.get((block.get("CPU implementer", ""), block.get("CPU part", "")))


def _physical_cores(root: Path, blocks: list[dict[str, str]]) -> int | None:
    cores = {
        (block["physical id"], block["core id"])
        for block in blocks
        if "physical id" in block and "core id" in block
    }
    if cores:
        return len(cores)
    topology = root / "sys/devices/system/cpu"
    found = set()
    for block in blocks:
        folder = topology / f"cpu{block['processor']}" / "topology"
        core, package = read_number(folder / "core_id"), read_number(folder / "physical_package_id")
        if core is None:
            return None
        found.add((package, core))
    return len(found) or None


def _mhz(root: Path, block: dict[str, str]) -> int | None:
    """The clock that stays the same from one look to the next.

    The base clock in the model's name, else the governor's upper bound; a virtual machine has
    neither, and states a constant one in /proc/cpuinfo.
    """
    in_name = re.search(r"@\s*([\d.]+)\s*GHz", block.get("model name", ""))
    if in_name:
        return round(float(in_name[1]) * 1000)
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq"
    khz = read_number(governor / "base_frequency") or read_number(governor / "cpuinfo_max_freq")
    if khz is None and "cpu MHz" in block:
        try:
            khz = round(float(block["cpu MHz"]) * 1000)
        except ValueError:
            return None
    return round(khz / 1000 / _MHZ_STEP) * _MHZ_STEP if khz else None
