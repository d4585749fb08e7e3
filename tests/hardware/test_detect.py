import json
import subprocess
import sys
from pathlib import Path

from ftspec.hardware.detect import detect, detect_other
from ftspec.hardware.model import Hardware
from ftspec.hardware.nvidia import driver_present
from ftspec.hardware.profiles import load_hardware, save_profile
from tests.hardware.trees import write_tree

PROGRAM = """
import json, sys, time
from ftspec.hardware.detect import detect
times = []
for _ in range(5):
    start = time.perf_counter()
    detect()
    times.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(times), "modules": sorted(sys.modules)}))
"""
HEAVY = {"torch", "transformers", "accelerate", "numpy", "duckdb", "jinja2", "scipy", "datasets", "pydantic"}


def test_fast_and_light() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["seconds"] < 0.1
    assert not HEAVY.intersection(result["modules"])


def test_this_machine() -> None:
    hardware = detect()
    assert isinstance(hardware, Hardware)
    assert hardware.cpu.usable_cores >= 1
    assert hardware.memory_bytes > 0
    assert hardware.memory_free_bytes is not None
    assert hardware.disk_free_bytes is not None
    assert hardware.digest() == detect().digest()


def test_a_system_of_which_little_is_known(tmp_path: Path) -> None:
    """Windows and others: psutil's answers, unknowns stay unknown, no traceback."""
    hardware = detect_other(tmp_path, {})
    assert hardware.memory_bytes > 0
    assert hardware.cpu.usable_cores >= 1
    assert (hardware.cpu.mhz, hardware.cpu.flags, hardware.accelerators) == (None, (), ())
    assert hardware.summary()
    save_profile(hardware, tmp_path / "box.yaml")
    assert load_hardware(tmp_path / "box.yaml")[0] is not None


def test_driver_is_looked_for_before_nvml_is_imported(tmp_path: Path) -> None:
    assert not driver_present(tmp_path)
    write_tree(tmp_path, {"dev/nvidiactl": ""})
    assert driver_present(tmp_path)
