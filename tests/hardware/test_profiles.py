import json
from pathlib import Path

import pytest

from ftspec.hardware.detect import detect
from ftspec.hardware.gpus import find_rates
from ftspec.hardware.model import Hardware
from ftspec.hardware.profile import format_size, parse_size
from ftspec.hardware.profiles import load_hardware, profile_names, save_profile, shipped_profiles
from ftspec.hardware.schema import FILE, hardware_schema
from ftspec.paths import shared_folder

NAMES = (
    "a100-40gb",
    "a100-80gb",
    "ci-runner",
    "h100-80gb",
    "h100x8",
    "h200x8",
    "l4",
    "laptop-cpu",
    "m2-16gb",
    "m3-max-128gb",
    "rtx4090",
    "t4",
)
GOOD = "name: mine\ncpu:\n  architecture: x86_64\n  usable_cores: 4\nmemory: 8GiB\n"


def load(name: str | Path) -> Hardware:
    hardware, found = load_hardware(name)
    assert hardware is not None, list(found)
    assert not len(found)
    return hardware


def test_shipped_names() -> None:
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile(name: str, tmp_path: Path) -> None:
    hardware = load(name)
    assert hardware.name == name
    for accelerator in hardware.accelerators:
        rates = find_rates(accelerator.name)
        assert rates is not None
        assert accelerator.peak_tflops_fp32 == rates.tflops_fp32
        assert accelerator.peak_tflops_bf16 == rates.tflops_bf16
        assert accelerator.peak_tflops_fp16 == rates.tflops_fp16
        assert accelerator.memory_gb_per_second == rates.gb_per_second
        assert accelerator.bf16 == (rates.tflops_bf16 is not None)
    save_profile(hardware, tmp_path / "saved.yaml")
    assert load(tmp_path / "saved.yaml").digest() == hardware.digest()


def test_shipped_profiles_say_what_they_are() -> None:
    folder = Path(__file__).resolve().parents[2] / "ftspec/hardware/profiles"
    for profile in shipped_profiles():
        assert profile.description
        text = (folder / f"{profile.name}.yaml").read_text(encoding="utf-8")
        assert text.startswith("# yaml-language-server: $schema=../../../schemas/hardware.schema.json\n# ")


def test_machines_differ() -> None:
    assert len({load(name).digest() for name in NAMES}) == len(NAMES)
    assert len(load("h100x8").accelerators) == 8


def test_this_machine_saved_and_loaded(tmp_path: Path) -> None:
    hardware = detect()
    save_profile(hardware, tmp_path / "My Box.yaml")
    loaded = load(tmp_path / "My Box.yaml")
    assert loaded.digest() == hardware.digest()
    assert loaded.name == "my-box"
    assert loaded.memory_free_bytes is None
    assert [path.name for path in tmp_path.iterdir()] == ["My Box.yaml"]


def test_unknown_name() -> None:
    hardware, found = load_hardware("H100x9")
    assert hardware is None
    (item,) = found
    assert item.code.id == "FTS309"
    assert "did you mean `h100x8`?" in item.help
    assert all(name in item.help for name in NAMES)


@pytest.mark.parametrize(
    ("text", "line", "message", "help_"),
    [
        (GOOD.replace("usable_cores", "usable_core"), 4, "`cpu.usable_core` is not a key", "`usable_cores`"),
        (GOOD.replace("usable_cores: 4", "usable_cores: many"), 4, "valid integer", ""),
        (GOOD.replace("8GiB", "8 gigs"), 5, "`memory`", ""),
        (
            GOOD + "accelerators:\n  - kind: tpu\n    name: x\n    bf16: true\n    fp16: true\n",
            7,
            "'cuda'",
            "",
        ),
        (GOOD.replace("cpu:\n", "cpu:\n  flags: [avx512bf16]\n"), 3, "did you mean `avx512_bf16`?", ""),
    ],
)
def test_faults_have_a_place(tmp_path: Path, text: str, line: int, message: str, help_: str) -> None:
    path = tmp_path / "box.yaml"
    path.write_text(text)
    hardware, found = load_hardware(path)
    assert hardware is None
    fault = next(item for item in found if message in item.detail)
    assert fault.code.id == "FTS310"
    assert help_ in fault.help
    assert fault.primary is not None
    assert fault.primary.line == line


def test_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "box.yaml").write_text("name: [\n")
    hardware, found = load_hardware(tmp_path / "box.yaml")
    assert hardware is None
    assert found.has_errors


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 3 * 1024**2, 24 * 1024**3, 24 * 1024**3 + 1])
def test_sizes_are_exact(count: int) -> None:
    assert parse_size(format_size(count)) == count


def test_published_schema_is_fresh() -> None:
    published = (shared_folder("schemas") / FILE).read_text(encoding="utf-8")
    assert published == hardware_schema(), "run `python -m ftspec.hardware.schema`"


def test_published_schema_accepts_the_shipped_profiles() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for profile in shipped_profiles():
        jsonschema.validate(profile.model_dump(exclude_none=True), json.loads(hardware_schema()))
