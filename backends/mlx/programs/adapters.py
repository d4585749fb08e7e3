"""Adapters: put into a model, saved as mlx_lm loads them, and merged into the weights."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from events import CheckFailedError
from llm_settings import Adapter
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import dequantize_model
from native import adapter_config
from weights import settle

WEIGHTS, CONFIG = "adapters.safetensors", "adapter_config.json"


class KeyedDropout(nn.Module):  # type: ignore[misc]
    """Dropout whose mask is a function of the key that it was last given.

    mlx's own draws from a global state: a layer that is computed a second time for its gradient (gradient
    checkpointing) would drop other entries than the first time, and a restart would have to restore it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._keep = 1.0 - rate
        self._key = mx.random.key(0)  # an array of the module's state, not a parameter

    def __call__(self, values: Any) -> Any:
        if not self.training:
            return values
        return mx.random.bernoulli(self._keep, values.shape, key=self._key) * values * (1 / self._keep)

    def give(self, key: Any) -> None:
        self._key = key


def add_adapter(model: Any, adapter: Adapter, seed: int) -> tuple[dict[str, Any], list[KeyedDropout]]:
    """Freeze the model and put adapters into it, in fp32; their config, and their dropouts if any.

    A starts uniform in ± 1 / sqrt(inputs) by the seed, as peft has it, and B at zero.
    """
    config = adapter_config(adapter, model)
    model.freeze()
    mx.random.seed(seed)
    linear_to_lora_layers(
        model, config["num_layers"], config["lora_parameters"], use_dora=config["fine_tune_type"] == "dora"
    )
    dropouts = []
    for _, module in model.named_modules():
        if "lora_a" in module and adapter.dropout > 0:
            module.dropout = KeyedDropout(adapter.dropout)
            dropouts.append(module.dropout)
    settle(model)
    return config, dropouts


def check_trainable(model: Any, planned: int) -> int:
    """Their number. Raises CheckFailedError FTS652 when others than planned would be trained."""
    trainable = count(model.trainable_parameters())
    if trainable != planned:
        raise CheckFailedError("FTS652", f"{trainable:,} parameters are trainable, planned are {planned:,}")
    return trainable


def count(parameters: Any) -> int:
    return sum(value.size for _, value in tree_flatten(parameters))


def save_adapter(model: Any, config: dict[str, Any], folder: Path) -> None:
    """`mlx_lm.load(base, adapter_path=folder)` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / WEIGHTS), dict(tree_flatten(model.trainable_parameters())))
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_adapter(model: Any, folder: Path) -> None:
    """Put a saved adapter into the model, in evaluation mode."""
    load_adapters(model, str(folder))
    model.eval()
    settle(model)


def merged_weights(model: Any) -> dict[str, Any]:
    """All weights of the model without adapters, by name; what was quantised is made whole again.

    Sums are made in fp32, one layer at a time. The model cannot be used afterwards.
    """
    merged = []
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear | DoRALinear):
            module.linear.set_dtype(mx.float32)
            merged.append((name, module.fuse(dequantize=True)))
    model.update_modules(tree_unflatten(merged))
    return dict(tree_flatten(dequantize_model(model).parameters()))
