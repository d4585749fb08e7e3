from types import SimpleNamespace
from typing import Any

import pytest

from ftspec.hardware.nvidia import read_nvidia

GIB = 1024**3


class FakeNvml:
    """The part of pynvml that is used. A device is a mapping; a missing answer raises NotSupported."""

    class NVMLError(Exception): ...

    class NVMLError_NotSupported(NVMLError): ...

    class NVMLError_NotFound(NVMLError): ...

    class NVMLError_FunctionNotFound(NVMLError): ...

    class NVMLError_InvalidArgument(NVMLError): ...

    class NVMLError_NoPermission(NVMLError): ...

    class NVMLError_LibraryNotFound(NVMLError): ...

    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 2

    def __init__(self, devices: list[dict[str, Any]], *, driver: bool = True) -> None:
        self.devices, self.driver, self.open = devices, driver, False

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError_LibraryNotFound
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self.devices[index]

    def _get(self, handle: Any, key: str) -> Any:
        if key not in handle:
            raise self.NVMLError_NotSupported
        return handle[key]

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> Any:
        return self._get(handle, "capability")

    def nvmlDeviceGetMigMode(self, handle: Any) -> Any:
        return [1, 1] if "slices" in handle else self._get(handle, "mig")

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        if index >= len(handle["slices"]):
            raise self.NVMLError_NotFound
        return handle["slices"][index]

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return self._get(handle, "name")

    def nvmlDeviceGetUUID(self, handle: Any) -> Any:
        return self._get(handle, "uuid")

    def nvmlDeviceGetMemoryInfo(self, handle: Any, version: int | None = None) -> Any:
        if version is not None and handle.get("old_driver"):
            raise self.NVMLError_FunctionNotFound
        total = self._get(handle, "memory")
        return SimpleNamespace(total=total, reserved=GIB) if version else SimpleNamespace(total=total)


H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": (9, 0), "memory": 80 * GIB}
T4 = {"name": b"Tesla T4", "uuid": b"GPU-t4", "capability": (7, 5), "memory": 16 * GIB}


def h100(number: int) -> dict[str, Any]:
    return {**H100, "uuid": f"GPU-h100-{number}"}


def names(nvml: FakeNvml, **environ: str) -> list[str]:
    return [item.name for item in read_nvidia(nvml, environ)]


def test_facts_of_a_gpu() -> None:
    nvml = FakeNvml([h100(0)])
    (gpu,) = read_nvidia(nvml, {})
    assert (gpu.kind, gpu.memory_bytes, gpu.compute_capability) == ("cuda", 79 * GIB, "9.0")
    assert (gpu.bf16, gpu.fp16, gpu.shares_memory) == (True, True, False)
    assert (gpu.peak_tflops_fp32, gpu.peak_tflops_bf16, gpu.memory_gb_per_second) == (67, 989.5, 3350)
    assert not nvml.open


def test_turing_has_no_bf16() -> None:
    (gpu,) = read_nvidia(FakeNvml([T4]), {})
    assert (gpu.name, gpu.bf16, gpu.fp16, gpu.peak_tflops_bf16) == ("Tesla T4", False, True, None)


def test_old_driver_knows_version_1_of_memory() -> None:
    (gpu,) = read_nvidia(FakeNvml([{**T4, "old_driver": True}]), {})
    assert gpu.memory_bytes == 16 * GIB


def test_unified_memory_is_not_supported() -> None:
    (gpu,) = read_nvidia(FakeNvml([{"name": "NVIDIA GB10", "capability": (12, 1)}]), {})
    assert (gpu.memory_bytes, gpu.shares_memory) == (None, True)


def test_unknown_gpu_has_no_invented_rates() -> None:
    (gpu,) = read_nvidia(FakeNvml([{"name": "NVIDIA X9000", "memory": GIB}]), {})
    assert (gpu.compute_capability, gpu.bf16, gpu.fp16, gpu.peak_tflops_fp32) == (None, False, False, None)


def test_no_driver() -> None:
    assert read_nvidia(FakeNvml([h100(0)], driver=False), {}) == ()


def test_hidden_by_uuid_or_index() -> None:
    nvml = FakeNvml([T4, h100(0), h100(1)])
    assert names(nvml, CUDA_VISIBLE_DEVICES="GPU-t") == ["Tesla T4"]
    assert names(nvml, CUDA_VISIBLE_DEVICES="") == []
    assert len(names(nvml)) == 3


def test_index_0_is_the_fastest_unless_ordered_by_bus() -> None:
    nvml = FakeNvml([T4, h100(0)])
    assert names(nvml, CUDA_VISIBLE_DEVICES="0") == [H100["name"]]
    assert names(nvml, CUDA_VISIBLE_DEVICES="0", CUDA_DEVICE_ORDER="PCI_BUS_ID") == ["Tesla T4"]


@pytest.mark.parametrize(
    ("environ", "memory"),
    [({}, [9]), ({"CUDA_VISIBLE_DEVICES": "MIG-b"}, [19]), ({"CUDA_VISIBLE_DEVICES": ""}, [])],
)
def test_slices_of_a_gpu(environ: dict[str, str], memory: list[int]) -> None:
    slices = [
        {"name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "uuid": "MIG-a", "memory": 10 * GIB},
        {"name": "NVIDIA H100 80GB HBM3 MIG 2g.20gb", "uuid": "MIG-b", "memory": 20 * GIB},
    ]
    gpus = read_nvidia(FakeNvml([{**h100(0), "slices": slices}]), environ)
    assert [gpu.memory_bytes for gpu in gpus] == [count * GIB for count in memory]
    assert all(gpu.compute_capability == "9.0" and gpu.peak_tflops_bf16 is None for gpu in gpus)
