from pathlib import Path

from ftspec.hardware.cgroups import Limits
from ftspec.hardware.detect import detect_linux
from ftspec.hardware.linux import read_cpu, read_memory
from tests.hardware.trees import V2_MOUNT, cpuinfo, write_tree

MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"


def test_hardware_threads_are_not_cores(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=8, cores=4)})
    cpu = read_cpu(root, machine="x86_64", affinity=set(range(8)), limits=Limits())
    assert (cpu.usable_cores, cpu.physical_cores) == (8, 4)
    assert cpu.model == "Intel Xeon Gold 6248"
    assert cpu.mhz == 2400
    assert cpu.flags == ("avx", "avx2", "f16c", "fma", "sse2")
    assert not cpu.bf16
    assert cpu.gflops_fp32 == 4 * 2.4 * 32


def test_affinity_counts(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=8, cores=4)})
    cpu = read_cpu(root, machine="x86_64", affinity={0, 4}, limits=Limits())
    assert (cpu.usable_cores, cpu.physical_cores) == (2, 1)  # both threads of one core


def test_quota_caps_the_cores(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=8, cores=4)})
    cpu = read_cpu(root, machine="x86_64", affinity=set(range(8)), limits=Limits(cpus=2.5))
    assert (cpu.usable_cores, cpu.physical_cores) == (3, 4)


def test_bf16_instructions(tmp_path: Path) -> None:
    for flag in ("avx512_bf16", "amx_bf16"):
        root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=1, cores=1, flags=f"avx512f {flag}")})
        assert read_cpu(root, machine="x86_64", affinity={0}, limits=Limits()).bf16


def test_clock_in_the_name_beats_the_present_one(tmp_path: Path) -> None:
    text = cpuinfo(cpus=1, cores=1).replace("Gold 6248 CPU", "CPU @ 2.20GHz")
    root = write_tree(tmp_path, {"proc/cpuinfo": text})
    cpu = read_cpu(root, machine="x86_64", affinity={0}, limits=Limits())
    assert (cpu.model, cpu.mhz) == ("Intel Xeon", 2200)


def test_governor_beats_the_present_clock(tmp_path: Path) -> None:
    governor = {"sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3700000\n"}
    root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=1, cores=1, mhz="801.2"), **governor})
    assert read_cpu(root, machine="x86_64", affinity={0}, limits=Limits()).mhz == 3700


def test_arm_server(tmp_path: Path) -> None:
    block = "processor\t: {}\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve bf16 i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
    topology = {
        f"sys/devices/system/cpu/cpu{n}/topology/{file}": f"{value}\n"
        for n in range(2)
        for file, value in (("core_id", n), ("physical_package_id", 0))
    }
    root = write_tree(tmp_path, {"proc/cpuinfo": block.format(0) + "\n" + block.format(1), **topology})
    cpu = read_cpu(root, machine="aarch64", affinity={0, 1}, limits=Limits())
    assert cpu.model == "ARM Neoverse-V1"
    assert cpu.architecture == "arm64"
    assert cpu.physical_cores == 2
    assert cpu.mhz is None  # such kernels do not tell
    assert cpu.flags == ("asimd", "bf16", "i8mm", "sve")
    assert not cpu.bf16


def test_nothing_known(tmp_path: Path) -> None:
    cpu = read_cpu(tmp_path, machine="riscv64", affinity={0, 1, 2}, limits=Limits())
    assert cpu.model is None
    assert cpu.physical_cores is None
    assert cpu.mhz is None
    assert (cpu.usable_cores, cpu.flags) == (3, ())


def test_memory(tmp_path: Path) -> None:
    assert read_memory(tmp_path) == (None, None)
    root = write_tree(tmp_path, {"proc/meminfo": MEMINFO})
    assert read_memory(root) == (16 * 1024**3, 8 * 1024**3)


def test_limit_of_the_group_is_the_memory(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/cpuinfo": cpuinfo(cpus=4, cores=4),
            "proc/meminfo": MEMINFO,
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": str(2 * 1024**3 + 4096),
            "sys/fs/cgroup/memory.current": str(1024**3),
        },
    )
    hardware = detect_linux(root, {}, machine="x86_64", affinity={0, 1})
    assert hardware.memory_bytes == 2 * 1024**3
    assert hardware.memory_free_bytes == 1024**3 + 4096
    assert hardware.summary() == "2 CPU cores (Intel Xeon Gold 6248), 2.0 GiB"


def test_a_few_pages_are_no_other_machine(tmp_path: Path) -> None:
    digests = set()
    for pages in (0, 700):
        text = MEMINFO.replace("16777216", str(16777216 + 4 * pages))
        root = write_tree(tmp_path, {"proc/cpuinfo": cpuinfo(cpus=1, cores=1), "proc/meminfo": text})
        digests.add(detect_linux(root, {}, machine="x86_64", affinity={0}).digest())
    assert len(digests) == 1


def test_empty_root_falls_back(tmp_path: Path) -> None:
    hardware = detect_linux(tmp_path, {}, machine="x86_64", affinity={0})
    assert hardware.memory_bytes > 0
    assert hardware.accelerators == ()
