"""A Mac, from one call of sysctl."""

import re
import subprocess
from collections.abc import Mapping

from ftspec.hardware.gpus import find_rates
from ftspec.hardware.model import GIB, MIB, Accelerator, Cpu

_KEYS = (
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.cpufrequency_max",
    "machdep.cpu.brand_string",
    "machdep.cpu.features",
    "machdep.cpu.leaf7_features",
    "hw.optional.arm.FEAT_BF16",
    "hw.optional.arm.FEAT_I8MM",
    "hw.optional.arm.FEAT_SME",
    "iogpu.wired_limit_mb",
)
# Highest clock of the performance cores in MHz, measured figures of the press: sysctl does not tell.
_MHZ = {"M1": 3200, "M2": 3500, "M3": 4100, "M4": 4500}
_X86_FLAGS = {"AVX1.0": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "AVX512F": "avx512f"}
_NATIVE_BF16_FROM = 3  # Metal's bfloat is emulated on M1 and M2


def read_sysctl() -> dict[str, str]:
    """What sysctl knows of the keys; one that this Mac does not have is absent."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", *_KEYS], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_sysctl(done.stdout)


def parse_sysctl(text: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}


def working_set_bytes(memory_bytes: int, wired_limit_mib: int = 0) -> int:
    """Memory that the GPU may use: Metal's `recommendedMaxWorkingSetSize`, by rule.

    Observed: 11.84 GiB of 16, 17.76 of 24, 107.52 of 128, i.e. 74 % and, from 128 GiB on, 84 %. In
    between the lower share is taken. A limit that the owner set (`iogpu.wired_limit_mb`) goes first.
    """
    if wired_limit_mib > 0:
        return min(memory_bytes, wired_limit_mib * MIB)
    return memory_bytes * (84 if memory_bytes >= 128 * GIB else 74) // 100


def read_apple(
    facts: Mapping[str, str], architecture: str
) -> tuple[Cpu, int | None, tuple[Accelerator, ...]]:
    """CPU, memory in bytes (None: sysctl gave none) and the GPU of Apple silicon."""
    brand = facts.get("machdep.cpu.brand_string")
    chip = re.match(r"Apple (M(\d+))\b", brand or "")
    memory = _number(facts, "hw.memsize")
    hertz = _number(facts, "hw.cpufrequency_max")
    cpu = Cpu(
        model=brand,
        architecture=architecture,
        physical_cores=_number(facts, "hw.physicalcpu"),
        usable_cores=_number(facts, "hw.logicalcpu") or 1,
        mhz=_MHZ.get(chip[1]) if chip else hertz // 1_000_000 if hertz else None,
        flags=_flags(facts, arm=architecture == "arm64"),
    )
    if chip is None or brand is None or memory is None:
        return cpu, memory, ()
    rates = find_rates(brand)
    gpu = Accelerator(
        kind="mps",
        name=brand,
        memory_bytes=working_set_bytes(memory, _number(facts, "iogpu.wired_limit_mb") or 0),
        compute_capability=None,
        bf16=int(chip[2]) >= _NATIVE_BF16_FROM,
        fp16=True,
        peak_tflops_fp32=rates.tflops_fp32 if rates else None,
        peak_tflops_bf16=rates.tflops_bf16 if rates else None,
        peak_tflops_fp16=rates.tflops_fp16 if rates else None,
        memory_gb_per_second=rates.gb_per_second if rates else None,
        shares_memory=True,
    )
    return cpu, memory, (gpu,)


def _number(facts: Mapping[str, str], key: str) -> int | None:
    value = facts.get(key, "")
    return int(value) if value.isdigit() else None


def _flags(facts: Mapping[str, str], *, arm: bool) -> tuple[str, ...]:
    if arm:
        optional = {"FEAT_BF16": "bf16", "FEAT_I8MM": "i8mm", "FEAT_SME": "sme"}
        found = {flag for key, flag in optional.items() if facts.get(f"hw.optional.arm.{key}") == "1"}
        return tuple(sorted(found | {"asimd"}))
    words = (
        facts.get("machdep.cpu.features", "") + " " + facts.get("machdep.cpu.leaf7_features", "")
    ).split()
    return tuple(sorted({_X86_FLAGS[word] for word in words if word in _X86_FLAGS}))
