from pathlib import Path

import pytest

from ftspec.hardware.cgroups import Limits, cap_cores, read_limits
from tests.hardware.trees import HYBRID_MOUNT, V1_CPU_MOUNT, V1_MEMORY_MOUNT, V2_MOUNT, write_tree

UNLIMITED = "9223372036854771712\n"


def test_no_control_groups_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()


def test_version_2_takes_the_tightest_ancestor(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a.slice"
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/a.slice/b.scope\n",
            f"{group}/memory.max": "4000\n",
            f"{group}/memory.current": "1000\n",
            f"{group}/memory.stat": "anon 500\ninactive_file 400\n",
            f"{group}/cpu.max": "150000 100000\n",
            f"{group}/b.scope/memory.max": "max\n",
            f"{group}/b.scope/memory.high": "5000\n",
            f"{group}/b.scope/memory.current": "900\n",
            f"{group}/b.scope/cpu.max": "max 100000\n",
        },
    )
    assert read_limits(root) == Limits(memory_bytes=4000, memory_free_bytes=4000 - 600, cpus=1.5)


def test_version_2_in_a_namespace(tmp_path: Path) -> None:
    """A container sees itself as the root of the hierarchy."""
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "2048\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
        },
    )
    assert read_limits(root) == Limits(memory_bytes=2048, memory_free_bytes=None, cpus=0.5)


def test_version_1(tmp_path: Path) -> None:
    memory, cpu = "sys/fs/cgroup/memory/docker/x", "sys/fs/cgroup/cpu,cpuacct/docker/x"
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V1_MEMORY_MOUNT + V1_CPU_MOUNT,
            "proc/self/cgroup": "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
            f"{memory}/memory.limit_in_bytes": "8192\n",
            f"{memory}/memory.usage_in_bytes": "2000\n",
            f"{memory}/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
            "sys/fs/cgroup/memory/docker/memory.limit_in_bytes": UNLIMITED,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED,
            f"{cpu}/cpu.cfs_quota_us": "300000\n",
            f"{cpu}/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_limits(root) == Limits(memory_bytes=8192, memory_free_bytes=8192 - 1500, cpus=3.0)


def test_version_1_mount_of_the_own_group_only(tmp_path: Path) -> None:
    """Docker without a namespace: the path in /proc is the host's, the mount shows the group as its top."""
    mount = V1_MEMORY_MOUNT.replace(" / /sys", " /docker/abc /sys")
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": mount,
            "proc/self/cgroup": "4:memory:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "777\n",
        },
    )
    assert read_limits(root).memory_bytes == 777


@pytest.mark.parametrize("group", ["/../outside", "/elsewhere"])
def test_group_outside_of_the_mount(tmp_path: Path, group: str) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V2_MOUNT.replace(" / /sys", " /here /sys"),
            "proc/self/cgroup": f"0::{group}\n",
            "sys/fs/cgroup/memory.max": "99\n",
        },
    )
    assert read_limits(root).memory_bytes == 99


def test_hybrid_asks_both_versions(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V1_MEMORY_MOUNT + HYBRID_MOUNT,
            "proc/self/cgroup": "4:memory:/job\n0::/job\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000\n",
            "sys/fs/cgroup/unified/job/cpu.max": "200000 100000\n",
        },
    )
    assert read_limits(root) == Limits(memory_bytes=5000, memory_free_bytes=None, cpus=2.0)


def test_mount_point_with_a_space(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": V2_MOUNT.replace("/sys/fs/cgroup", "/my\\040groups"),
            "proc/self/cgroup": "0::/\n",
            "my groups/memory.max": "12\n",
        },
    )
    assert read_limits(root).memory_bytes == 12


def test_garbage_is_no_limit(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/mountinfo": "nonsense\n" + V2_MOUNT,
            "proc/self/cgroup": "nonsense\n0::/\n",
            "sys/fs/cgroup/memory.max": "lots\n",
            "sys/fs/cgroup/cpu.max": "100000 0\n",
        },
    )
    assert read_limits(root) == Limits()


@pytest.mark.parametrize(
    ("cores", "cpus", "capped"), [(8, None, 8), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2), (8, 3.0, 3)]
)
def test_cap_cores(cores: int, cpus: float | None, capped: int) -> None:
    assert cap_cores(cores, cpus) == capped
