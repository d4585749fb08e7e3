import json
import subprocess
import sys

from ftspec.hardware.detect import detect
from ftspec.hardware.model import Hardware

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
