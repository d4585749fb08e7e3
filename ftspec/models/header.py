"""Names, dtypes and shapes of the tensors in safetensors files; no weight is read.

Format: 8 bytes little-endian length n, n bytes of JSON, then the data. A sharded model has an index
`model.safetensors.index.json` with `weight_map: {tensor: file}`.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip
TRAINABLE_DTYPES = ("F32", "F16", "BF16")


class UnreadableModelError(Exception):
    """The folder cannot be used as a base model; the message is the detail of FTS302."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """`files` are names inside the folder, sorted; `tensors` of all of them."""

    files: tuple[str, ...]
    size_bytes: int
    tensors: tuple[Tensor, ...]


def read_json(path: Path) -> Any:
    """A JSON document. Raises UnreadableModelError when it is missing, not JSON, or not UTF-8."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableModelError(f"{path.name} is missing in {path.parent}") from None
    except OSError as error:
        raise UnreadableModelError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableModelError(f"{path} is not JSON: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise UnreadableModelError(f"{path} holds no JSON object")
    return document


def read_weights(folder: Path) -> Weights:
    """Weights of one module folder: `model.safetensors`, else the shards of the index."""
    single = folder / "model.safetensors"
    if single.is_file():
        return Weights(files=(single.name,), size_bytes=single.stat().st_size, tensors=read_header(single))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return _read_shards(folder, index)
    pickles = sorted(path.name for path in folder.glob("*.bin") if path.is_file())
    if pickles:
        raise UnreadableModelError(
            f"{folder} has only pickled weights ({', '.join(pickles[:3])}), which can run code when they are "
            "loaded; only safetensors are read"
        )
    raise UnreadableModelError(f"model.safetensors is missing in {folder}")


def read_header(path: Path) -> tuple[Tensor, ...]:
    """Tensors of one file, checked: known dtypes, extents that match shapes, a file of the right size."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise UnreadableModelError(f"{path} is damaged: its header length is impossible")
            document = json.loads(file.read(length))
    except OSError as error:
        raise UnreadableModelError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UnreadableModelError(f"{path} is damaged: its header is not JSON") from None
    if not isinstance(document, dict):
        raise UnreadableModelError(f"{path} is damaged: its header is not a JSON object")
    document.pop("__metadata__", None)
    tensors = []
    data_bytes = 0
    for name, entry in document.items():
        tensor, end = _tensor(path, name, entry)
        data_bytes = max(data_bytes, end)
        tensors.append(tensor)
    if data_bytes != size - 8 - length:
        raise UnreadableModelError(
            f"{path} is damaged: the header describes {data_bytes} bytes of weights, the file has {size - 8 - length}"
        )
    return tuple(tensors)


def _tensor(path: Path, name: str, entry: Any) -> tuple[Tensor, int]:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(end)]} if (
            dtype in _BITS
            and all(type(extent) is int and extent >= 0 for extent in shape)
            and 0 <= start <= end
            and (end - start) * 8 == math.prod(shape) * _BITS[dtype]
        ):
            return Tensor(name=name, dtype=dtype, shape=tuple(shape)), end
    raise UnreadableModelError(f"{path} is damaged: the entry of tensor {name!r:.80} is impossible")


def _read_shards(folder: Path, index: Path) -> Weights:
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnreadableModelError(f"{index} has no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    tensors: list[Tensor] = []
    size_bytes = 0
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UnreadableModelError(f"{index} names the file {name!r:.80}, which is not a shard beside it")
        shard = folder / name
        if not shard.is_file():
            raise UnreadableModelError(f"{name} is missing in {folder}")
        tensors += read_header(shard)
        size_bytes += shard.stat().st_size
    missing = weight_map.keys() - {tensor.name for tensor in tensors}
    if missing:
        raise UnreadableModelError(f"the shards of {index} lack the tensor {min(missing)!r:.80}")
    return Weights(files=(*names, index.name), size_bytes=size_bytes, tensors=tuple(tensors))
