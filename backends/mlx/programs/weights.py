"""Models in transformers' layout: how mlx_lm loads them, and how they are written again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from events import CheckFailedError
from llm_settings import Precision
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, make_shards, quantize_model
from native import GROUP_SIZE
from rope import check_rope, layer_kinds, mlx_options, regular_kinds

DTYPES = {"fp32": mx.float32, "bf16": mx.bfloat16, "fp16": mx.float16}
NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
OWN = ("config.json", "*.safetensors*", "*.bin*", "*.pt", "*.pth", "*.gguf")  # not taken over from the base


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model and the config.json that it was loaded by, as it stands in the file."""

    model: Any
    config: dict[str, Any]
    folder: Path


def load(folder: Path, precision: Precision, *, positions: int, keeps_window: bool = False) -> Loaded:
    """The model in evaluation mode with all weights in `precision`, which are read when they are needed.

    Raises CheckFailedError FTS653 when mlx_lm has no such model, or would compute something else than
    transformers: positions are checked for rows of `positions` tokens. `keeps_window`: mlx_lm is known to keep to
    this model's sliding window.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = config.get("model_type")
    if "text_config" in config:
        raise CheckFailedError("FTS653", f"{kind} reads more than text, which is not checked against mlx_lm")
    options = mlx_options(config)
    if "tie_word_embeddings" not in config:  # mlx_lm and transformers differ in the default
        options["tie_word_embeddings"] = "lm_head.weight" not in shapes(folder)
    try:
        model, _ = load_model(folder, lazy=True, model_config=options)
    except (ValueError, TypeError, AttributeError, KeyError, ImportError, SystemExit) as fault:
        # Unknown, or settings and weights that it does not expect; where a package is missing it ends the process.
        said = str(fault) if isinstance(fault, ValueError | TypeError) else f"{type(fault).__name__}: {fault}"
        raise CheckFailedError("FTS653", f"mlx_lm cannot load this {kind}: {said}") from None
    check_rope(model, config, positions)
    check_window(model, config, positions, keeps_window=keeps_window)
    model.set_dtype(DTYPES[precision])
    return Loaded(model=model, config=config, folder=folder)


def check_window(model: Any, config: dict[str, Any], positions: int, *, keeps_window: bool) -> None:
    """Raises CheckFailedError FTS653 where a row reaches beyond a sliding window of attention, unless this type
    is known to keep to it (others look further back without a word) and its layers take turns as they should."""
    window, kind = config.get("sliding_window"), config["model_type"]
    if not window or not config.get("use_sliding_window", True) or positions <= window:
        return
    reach = f"rows and answers of {positions} tokens reach beyond this {kind}'s sliding window of {window}"
    if not keeps_window:
        raise CheckFailedError("FTS653", f"{reach}, which mlx_lm may not keep to")
    count, turn = len(model.layers), model.args.sliding_window_pattern
    told = layer_kinds(config, count) if "layer_types" in config else regular_kinds(turn, count)
    if told != regular_kinds(turn, count) or turn > count:
        raise CheckFailedError("FTS653", f"{reach}, which mlx_lm lets other layers have")


def settle(model: Any) -> None:
    """Read and compute all weights, layer by layer: a quantised model is never whole in memory before."""
    for layer in model.layers:
        mx.eval(layer.parameters())
    mx.eval(model.parameters())


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of all tensors of a folder, by the headers of its files."""
    found = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found.update(
            {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        )
    return found


def check_layout(loaded: Loaded) -> None:
    """Raises CheckFailedError FTS653 unless the weights of mlx_lm are tensors of the base, name by name:
    what is trained could not be written as transformers reads it."""
    there = shapes(loaded.folder)
    for name, value in tree_flatten(loaded.model.parameters()):
        if there.get(name) != tuple(value.shape):
            raise CheckFailedError(
                "FTS653",
                f"mlx_lm lays out {name} otherwise than the files of this {loaded.config.get('model_type')}: "
                "a trained model could not be saved for transformers",
            )


def quantize(loaded: Loaded, bits: int) -> None:
    """Round the linear layers inside the blocks to `bits`, in place; embeddings and output stay.

    Raises CheckFailedError FTS653 when no layer can be quantised.
    """

    def chosen(name: str, module: Any) -> bool:
        return isinstance(module, nn.Linear) and ".layers." in f".{name}"

    quantize_model(loaded.model, {}, GROUP_SIZE, bits, quant_predicate=chosen)
    if not any(isinstance(part, nn.QuantizedLinear) for _, part in loaded.model.named_modules()):
        raise CheckFailedError("FTS653", f"no linear layer has rows of whole groups of {GROUP_SIZE} weights")


def save(loaded: Loaded, weights: dict[str, Any], folder: Path, dtype: Precision) -> None:
    """A folder that transformers and mlx_lm load: `weights` by their names in the base's files.

    Tensors of the base that mlx_lm does not hold (of a vision tower, say) are taken over.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = {name: _cast(value, dtype) for name, value in weights.items()}
    made.update({name: _cast(value, dtype) for name, value in _left_over(loaded, made).items()})
    shards = make_shards(made)
    total = sum(value.nbytes for value in made.values())
    made.clear()
    places = {}
    for number, shard in enumerate(shards, start=1):
        name = (
            "model.safetensors"
            if len(shards) == 1
            else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        )
        mx.save_safetensors(str(folder / name), shard, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        shard.clear()
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    _copy_rest(loaded, folder, dtype)


def _cast(value: Any, dtype: Precision) -> Any:
    return value.astype(DTYPES[dtype]) if mx.issubdtype(value.dtype, mx.floating) else value


def _left_over(loaded: Loaded, made: dict[str, Any]) -> dict[str, Any]:
    """Tensors of the base's files that are not in `made`, but for copies of others."""
    tied = {"lm_head.weight"} if "lm_head.weight" not in made else set()
    found = {}
    for path in sorted(loaded.folder.glob("model*.safetensors")):
        tensors: Any = mx.load(str(path))
        for name, value in tensors.items():
            if name not in made and name not in tied and "rotary_emb.inv_freq" not in name:
                found[name] = value
    return found


def _copy_rest(loaded: Loaded, folder: Path, dtype: Precision) -> None:
    """config.json with the dtype and what mlx_lm reads of positions; all other files of the base."""
    shutil.copytree(loaded.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*OWN))
    rope = {key: value for key, value in mlx_options(loaded.config).items() if value is not None}
    config = {**rope, **loaded.config}
    for key in {"dtype", *({"torch_dtype"} & config.keys())}:
        config[key] = NAMES[dtype]
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
