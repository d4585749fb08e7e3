from dataclasses import replace

from ftspec.hardware.gpus import find_rates
from ftspec.hardware.model import Accelerator, Cpu, Hardware, format_bytes

GIB = 1024**3
CPU = Cpu(
    model="AMD EPYC", architecture="x86_64", physical_cores=2, usable_cores=2, mhz=2400, flags=("avx2",)
)
GPU = Accelerator(
    kind="cuda", name="NVIDIA L4", memory_bytes=22 * GIB, compute_capability="8.9", bf16=True, fp16=True
)
MACHINE = Hardware(name="a", os="linux", cpu=CPU, memory_bytes=24 * GIB)


def test_summary() -> None:
    assert MACHINE.summary() == "2 CPU cores (AMD EPYC), 24.0 GiB"
    many = replace(MACHINE, accelerators=(GPU,) * 8, cpu=replace(CPU, model=None, usable_cores=1))
    assert many.summary() == "8 × NVIDIA L4 (22.0 GiB), 1 CPU core, 24.0 GiB"


def test_digest_ignores_what_passes() -> None:
    same = replace(MACHINE, name="b", memory_free_bytes=1, disk_free_bytes=2)
    assert same.digest() == MACHINE.digest()
    for other in (
        replace(MACHINE, memory_bytes=1),
        replace(MACHINE, accelerators=(GPU,)),
        replace(MACHINE, cpu=replace(CPU, flags=())),
    ):
        assert other.digest() != MACHINE.digest()


def test_digest_is_stable_across_releases() -> None:
    """Stored plans hold it: a change here makes every one of them stale."""
    assert MACHINE.digest() == "sha256:25d05fc6606a9bf8776cd6159a0a736f10f8456535c45cf7b2c8d0e576f6a52e"


def test_speed_estimate_of_the_cpu() -> None:
    assert MACHINE.cpu_gflops_fp32 == 2 * 2.4 * 32
    assert replace(CPU, usable_cores=8).gflops_fp32 == CPU.gflops_fp32  # threads share units
    assert replace(CPU, usable_cores=1).gflops_fp32 == CPU.gflops_fp32 / 2
    assert replace(CPU, mhz=None).gflops_fp32 == 2 * 2.0 * 32  # a slow core where the clock is hidden
    assert replace(CPU, flags=()).gflops_fp32 == 2 * 2.4 * 8


def test_facts_are_flat_scalars() -> None:
    facts = replace(MACHINE, accelerators=(GPU,)).facts()
    assert facts["accelerators.0.name"] == "NVIDIA L4"
    assert facts["num_accelerators"] == 1
    assert all(value is None or isinstance(value, str | int | float) for value in facts.values())


def test_format_bytes() -> None:
    assert [format_bytes(count) for count in (512 * 1024**2, GIB, 2048 * GIB)] == [
        "512 MiB",
        "1.0 GiB",
        "2.0 TiB",
    ]


def test_rates_by_the_names_that_drivers_report() -> None:
    peaks = {
        "NVIDIA A100-SXM4-80GB": 2039,
        "NVIDIA A100 80GB PCIe": 1935,
        "NVIDIA A100-PCIE-40GB": 1555,
        "NVIDIA H100 PCIe": 2000,
        "NVIDIA H100 80GB HBM3": 3350,
        "NVIDIA H200": 4800,
        "NVIDIA L4": 300,
        "NVIDIA L40S": 864,
        "NVIDIA GeForce RTX 4090": 1008,
        "Apple M2 Max": 400,
        "Apple M2": 100,
    }
    assert {name: getattr(find_rates(name), "gb_per_second", None) for name in peaks} == peaks
    for unknown in ("NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA L400"):
        assert find_rates(unknown) is None
