"""NVIDIA GPUs through NVML, which needs the driver but neither CUDA nor torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.hardware.gpus import find_rates
from ftspec.hardware.model import Accelerator
from ftspec.hardware.visible import visible_devices

_DRIVER_MARKS = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg", "Windows/System32/nvml.dll")


@dataclass(frozen=True, slots=True)
class Device:
    uuid: str | None
    accelerator: Accelerator


def driver_present(root: Path) -> bool:
    """A quick look, so that machines without the driver never pay for importing NVML."""
    return any((root / mark).exists() for mark in _DRIVER_MARKS)


def read_nvidia(nvml: Any, environ: Mapping[str, str]) -> tuple[Accelerator, ...]:
    """Visible GPUs. `nvml` is the module `pynvml`; a driver that is broken or gone shows none."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    try:
        devices = list(_devices(nvml))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()
    whole = [device for device in devices if not (device.uuid or "").startswith("MIG")]
    slices = [device for device in devices if device not in whole]
    if whole and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        # CUDA's own order puts the fastest device first and leaves the others by bus, as NVML has them.
        fastest = max(whole, key=lambda device: device.accelerator.peak_tflops_fp32 or 0.0)
        whole.sort(key=lambda device: device is not fastest)
    setting = environ.get("CUDA_VISIBLE_DEVICES")
    # A process uses one slice of a GPU at most; without a setting CUDA takes the first one.
    ordered = whole + slices if setting is not None else whole or slices[:1]
    return tuple(device.accelerator for device in visible_devices(ordered, setting))


def _devices(nvml: Any) -> Iterator[Device]:
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
        mode = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
        if mode is not None and mode[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            for slot in range(_ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
                part = _ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)
                if part is not None:
                    yield _device(nvml, part, capability)
        else:
            yield _device(nvml, handle, capability)


def _device(nvml: Any, handle: Any, capability: tuple[int, int] | None) -> Device:
    name = _text(_ask(nvml, nvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU"
    memory, shares_memory = _memory(nvml, handle)
    rates = find_rates(name)
    return Device(
        uuid=_text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
        accelerator=Accelerator(
            kind="cuda",
            name=name,
            memory_bytes=memory,
            compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
            bf16=capability is not None and capability >= (8, 0),  # Ampere and later
            fp16=capability is not None and capability >= (7, 0),  # tensor cores: Volta and later
            peak_tflops_fp32=rates.tflops_fp32 if rates else None,
            peak_tflops_bf16=rates.tflops_bf16 if rates else None,
            peak_tflops_fp16=rates.tflops_fp16 if rates else None,
            memory_gb_per_second=rates.gb_per_second if rates else None,
            shares_memory=shares_memory,
        ),
    )


def _memory(nvml: Any, handle: Any) -> tuple[int | None, bool]:
    """Usable bytes, and whether they are the CPU's.

    Machines with one memory for both (Grace-Blackwell desktops, Jetsons) answer "not supported".
    """
    try:
        # Version 2 tells what the driver keeps for itself; older drivers know version 1 only.
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError_NotSupported:
        return None, True
    except (nvml.NVMLError_FunctionNotFound, AttributeError):
        memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    if memory is None:
        return None, False
    return int(memory.total) - int(getattr(memory, "reserved", 0)), False


def _ask(nvml: Any, question: Any, *arguments: Any) -> Any:
    """The answer, or None where this device or driver has none."""
    try:
        return question(*arguments)
    except (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_NotFound,
        nvml.NVMLError_FunctionNotFound,
        nvml.NVMLError_InvalidArgument,
        nvml.NVMLError_NoPermission,
    ):
        return None


def _text(value: Any) -> str | None:
    """Old bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
