import pytest

from ftspec.hardware.apple import parse_sysctl, working_set_bytes
from ftspec.hardware.detect import detect_darwin

GIB = 1024**3
M3_MAX = """\
hw.memsize: 137438953472
hw.physicalcpu: 16
hw.logicalcpu: 16
machdep.cpu.brand_string: Apple M3 Max
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 1
iogpu.wired_limit_mb: 0
"""
INTEL = """\
hw.memsize: 17179869184
hw.physicalcpu: 4
hw.logicalcpu: 8
hw.cpufrequency_max: 2300000000
machdep.cpu.brand_string: Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz
machdep.cpu.features: FPU SSE4.2 FMA AVX1.0 F16C
machdep.cpu.leaf7_features: BMI1 AVX2 AVX512F
"""


@pytest.mark.parametrize(("total", "usable"), [(16, 11.84), (24, 17.76), (128, 107.52)])
def test_observed_working_sets(total: int, usable: float) -> None:
    assert working_set_bytes(total * GIB) == int(usable * GIB)


def test_owner_set_the_limit() -> None:
    assert working_set_bytes(16 * GIB, 14 * 1024) == 14 * GIB
    assert working_set_bytes(16 * GIB, 99 * 1024) == 16 * GIB


def test_apple_silicon() -> None:
    hardware = detect_darwin(parse_sysctl(M3_MAX), machine="arm64")
    assert (hardware.os, hardware.memory_bytes) == ("darwin", 128 * GIB)
    assert hardware.cpu.flags == ("asimd", "bf16", "i8mm")
    (gpu,) = hardware.accelerators
    assert (gpu.kind, gpu.name, gpu.memory_bytes) == ("mps", "Apple M3 Max", int(107.52 * GIB))
    assert (gpu.bf16, gpu.fp16, gpu.shares_memory) == (True, True, True)
    assert hardware.summary() == "Apple M3 Max (107.5 GiB), 16 CPU cores (Apple M3 Max), 128.0 GiB"


def test_bf16_is_emulated_before_m3() -> None:
    (gpu,) = detect_darwin(parse_sysctl(M3_MAX.replace("M3 Max", "M2")), machine="arm64").accelerators
    assert not gpu.bf16


def test_chip_of_the_future_has_no_invented_rates() -> None:
    (gpu,) = detect_darwin(parse_sysctl(M3_MAX.replace("M3 Max", "M9")), machine="arm64").accelerators
    assert (gpu.bf16, gpu.peak_tflops_fp32) == (True, None)


def test_intel_mac_has_no_gpu_for_us() -> None:
    hardware = detect_darwin(parse_sysctl(INTEL), machine="x86_64")
    assert hardware.accelerators == ()
    assert (hardware.cpu.mhz, hardware.cpu.usable_cores, hardware.cpu.physical_cores) == (2300, 8, 4)
    assert hardware.cpu.flags == ("avx", "avx2", "avx512f", "f16c", "fma")


def test_sysctl_says_nothing() -> None:
    hardware = detect_darwin({}, machine="arm64")
    assert hardware.accelerators == ()
    assert (hardware.cpu.model, hardware.cpu.usable_cores) == (None, 1)
    assert hardware.memory_bytes > 0
