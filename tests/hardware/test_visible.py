from dataclasses import dataclass

import pytest

from ftspec.hardware.visible import visible_devices


@dataclass
class Device:
    uuid: str | None


DEVICES = [Device("GPU-aaaa-1"), Device("GPU-aabb-2"), Device("GPU-cccc-3")]


@pytest.mark.parametrize(
    ("setting", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("1", [1]),
        ("0,9,1", [0]),  # what follows an invalid entry is hidden
        ("0,-1,1", [0]),
        ("GPU-cc", [2]),
        ("GPU-aabb-2,GPU-c", [1, 2]),
        ("GPU-aa", []),  # fits two
        ("GPU-zz,0", []),
        (" 1 , 2 ", [1, 2]),
        ("0,0", []),  # an error in CUDA
        ("NoDevFiles", []),
    ],
)
def test_rules_of_the_runtime(setting: str | None, indices: list[int]) -> None:
    assert visible_devices(DEVICES, setting) == [DEVICES[index] for index in indices]


def test_equal_devices_are_still_two() -> None:
    twins = [Device(None), Device(None)]
    assert len(visible_devices(twins, "0,1")) == 2
