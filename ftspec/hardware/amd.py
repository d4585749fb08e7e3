"""AMD GPUs from the kernel driver's files: /sys/class/drm for memory, the KFD topology for the rest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftspec.hardware.cgroups import read_number, read_text
from ftspec.hardware.gpus import find_rates
from ftspec.hardware.model import Accelerator
from ftspec.hardware.visible import visible_devices

_AMD_VENDOR = 0x1002
# Matrix instructions for bf16 and fp16 (LLVM AMDGPU guide, MFMA and WMMA): CDNA from gfx908 (bf16 at
# full rate from gfx90a), RDNA from generation 11.
_BF16 = re.compile(r"gfx(90a|94\d|95\d|11\d\d|12\d\d)$")
_FP16 = re.compile(r"gfx(908|90a|94\d|95\d|11\d\d|12\d\d)$")
# An integrated GPU sets aside a small part of the memory as its own, and reaches the rest as GTT.
_APU_VRAM_BELOW = 8 * 1024**3


@dataclass(frozen=True, slots=True)
class Device:
    uuid: str | None
    accelerator: Accelerator


def read_amd(root: Path, environ: Mapping[str, str]) -> tuple[Accelerator, ...]:
    """Visible GPUs that ROCm can use, i.e. those in the KFD topology, in its order."""
    devices = []
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    for node in sorted(_folders(nodes), key=lambda path: int(path.name)):
        properties = _properties(node)
        minor = properties.get("drm_render_minor", 0)
        if properties.get("vendor_id") == _AMD_VENDOR and minor > 0:
            devices.append(_device(root / f"sys/class/drm/renderD{minor}/device", node, properties))
    # ROCr hides first; HIP, which also reads CUDA's name, counts what is left.
    devices = visible_devices(devices, environ.get("ROCR_VISIBLE_DEVICES"))
    setting = environ.get("HIP_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    return tuple(device.accelerator for device in visible_devices(devices, setting))


def _device(device: Path, node: Path, properties: Mapping[str, int]) -> Device:
    version = _gfx(properties.get("gfx_target_version", 0))
    product = (read_text(device / "product_name") or read_text(node / "name") or "").strip()
    name = f"AMD {product}" if product and not product.startswith("AMD") else product or "AMD GPU"
    vram, gtt = read_number(device / "mem_info_vram_total"), read_number(device / "mem_info_gtt_total")
    integrated = properties.get("cpu_cores_count", 0) > 0 or (vram is not None and vram < _APU_VRAM_BELOW)
    memory = vram + gtt if integrated and vram is not None and gtt is not None else vram
    rates = find_rates(name)
    unique = properties.get("unique_id", 0)
    return Device(
        uuid=f"GPU-{unique:016x}" if unique else None,
        accelerator=Accelerator(
            kind="rocm",
            name=name,
            memory_bytes=memory,
            compute_capability=version,
            bf16=bool(version and _BF16.match(version)),
            fp16=bool(version and _FP16.match(version)),
            peak_tflops_fp32=rates.tflops_fp32 if rates else None,
            peak_tflops_bf16=rates.tflops_bf16 if rates else None,
            peak_tflops_fp16=rates.tflops_fp16 if rates else None,
            memory_gb_per_second=rates.gb_per_second if rates else None,
            shares_memory=integrated,
        ),
    )


def _folders(nodes: Path) -> list[Path]:
    try:
        return [path for path in nodes.iterdir() if path.name.isdigit()]
    except OSError:
        return []


def _properties(node: Path) -> dict[str, int]:
    pairs = (line.split() for line in (read_text(node / "properties") or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _gfx(version: int) -> str | None:
    """90402 is major 9, minor 4, stepping 2: gfx942; minor and stepping are hexadecimal digits."""
    if version <= 0:
        return None
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
