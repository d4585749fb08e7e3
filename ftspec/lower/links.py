"""Files into a run folder without doubling them: hard links where the disk allows, else copies."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

# Other formats of the weights than safetensors: never loaded, often large, and pickles run code.
_OTHER_WEIGHTS = frozenset(
    (
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".onnx",
        ".onnx_data",
        ".h5",
        ".msgpack",
        ".ot",
        ".tflite",
        ".gguf",
    )
)


def is_model_file(path: Path) -> bool:
    """What a run may load of a model: configs, tokenizer, safetensors, and code that comes with it."""
    return path.suffix not in _OTHER_WEIGHTS


def link_tree(source: Path, target: Path, wanted: Callable[[Path], bool] = lambda path: True) -> int:
    """Make `target` a folder with the files of `source` (symbolic links followed, hidden names left out)
    for which `wanted(relative path)` is true, and nothing else. Returns the number of files.

    The files may be the same ones on disk: nobody may write into them.
    """
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    count = 0
    for path in _files(source):
        relative = path.relative_to(source)
        if wanted(relative):
            place_file(path, target / relative)
            count += 1
    return count


def place_file(source: Path, target: Path) -> None:
    """A hard link to the file behind `source`, or a copy where links do not reach."""
    target.parent.mkdir(parents=True, exist_ok=True)
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:  # another disk, a file system without links, or too many of them
        shutil.copyfile(real, target)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
