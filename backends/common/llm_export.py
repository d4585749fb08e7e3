"""A trained model as a folder that other libraries load: the base's own files beside the new weights."""

import json
import shutil
from pathlib import Path
from typing import Any

from llm_torch import DTYPES
from transformers import GenerationConfig

WEIGHTS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*.bin.index.json",
    "*.pt",
    "*.pth",
    "*.gguf",
    "*.onnx",
    "*.onnx_data",
    "*.h5",
    "*.msgpack",
    "*.tflite",
)
GENERATION = "generation_config.json"


def save_model(model: Any, base: Path, folder: Path, *, dtype: str) -> None:
    """Weights in `dtype`; everything else is the base's.

    The base's config.json is kept word for word but for the dtype: libraries disagree on where some
    settings stand (rope_theta), and what the base's readers understand they shall understand here.
    """
    shutil.rmtree(folder, ignore_errors=True)
    model.to(DTYPES[dtype])
    # Many a base has a generation config that the library reads, and refuses to write.
    config_of_generation: Any = GenerationConfig
    model.generation_config = config_of_generation()
    model.save_pretrained(str(folder))
    (folder / GENERATION).unlink(missing_ok=True)
    shutil.copytree(base, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*WEIGHTS))
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    name = str(DTYPES[dtype]).removeprefix("torch.")
    config["dtype"] = name
    if "torch_dtype" in config:
        config["torch_dtype"] = name
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_adapter(model: Any, folder: Path) -> None:
    """A peft adapter folder that names no path of this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(str(folder))
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)
