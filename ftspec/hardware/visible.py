"""Which accelerators a process may see, by `CUDA_VISIBLE_DEVICES` and its relatives."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Identified(Protocol):
    @property
    def uuid(self) -> str | None: ...


D = TypeVar("D", bound=Identified)


def visible_devices(devices: Sequence[D], setting: str | None) -> list[D]:
    """The devices that a setting leaves visible, in the order that it names.

    Rules of the CUDA runtime: unset shows all; empty shows none; entries are indices or beginnings
    of a UUID that fit one device only; what stands behind the first entry that fits none is hidden.
    A device named twice is an error there, so nothing is visible.
    """
    if setting is None:
        return list(devices)
    chosen: list[D] = []
    for entry in (part.strip() for part in setting.split(",")):
        device = _find(devices, entry)
        if device is None:
            break
        if any(device is other for other in chosen):
            return []
        chosen.append(device)
    return chosen


def _find(devices: Sequence[D], entry: str) -> D | None:
    if entry.isdigit():
        return devices[int(entry)] if int(entry) < len(devices) else None
    if not entry or entry.startswith("-"):
        return None
    fitting = [device for device in devices if device.uuid is not None and device.uuid.startswith(entry)]
    return fitting[0] if len(fitting) == 1 else None
