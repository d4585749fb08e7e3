"""Loading the base, its adapter, and what was trained; always from local safetensors."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from events import CheckFailedError
from llm_settings import Adapter, Settings
from llm_torch import DTYPES
from native import lora_options, quantization_options
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig


def place(device: str) -> str:
    """The device of this process: of several GPUs the one with its number."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device


def load_tokenizer(folder: Path, settings: Settings) -> Any:
    return AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=settings.model.trust_remote_code
    )


def load_model(folder: Path, settings: Settings, *, dtype: str, quantized: bool, device: str) -> Any:
    """A causal language model in `dtype` on `device`. `quantized`: with the planned bits, where there are any.

    Raises CheckFailedError FTS653 when transformers has no such model or does not take its settings, and when
    weights are missing: they would be random.
    """
    wishes = settings.model
    options: dict[str, Any] = {
        "dtype": DTYPES[dtype],
        "attn_implementation": wishes.attn_implementation,
        "trust_remote_code": wishes.trust_remote_code,
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
    }
    if quantized and wishes.quantization_bits is not None:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise CheckFailedError("FTS605", "a quantised base needs bitsandbytes: pip install bitsandbytes")
        config: Any = BitsAndBytesConfig
        options["quantization_config"] = config(
            **quantization_options(wishes.quantization_bits, DTYPES[dtype])
        )
        options["device_map"] = {"": device}
    loader: Any = AutoModelForCausalLM
    try:
        model, found = loader.from_pretrained(str(folder), **options)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as fault:
        kind = _model_type(folder)
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise CheckFailedError(
            "FTS653", f"transformers {transformers.__version__} cannot load this {kind}: {first}"
        ) from fault
    for what in ("missing_keys", "mismatched_keys"):
        if found[what]:
            names = sorted(str(name) for name in found[what])
            raise CheckFailedError(
                "FTS653", f"{what.replace('_', ' ')} in {folder.name}: {', '.join(names[:3])} ({len(names)})"
            )
    if "device_map" not in options:
        model.to(device)
    return model


def _model_type(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))


def add_adapter(model: Any, adapter: Adapter) -> Any:
    """The model with fresh adapters, in fp32; nothing else is trained.

    Raises CheckFailedError FTS652 when they find no place.
    """
    depth = model.config.get_text_config().num_hidden_layers
    if adapter.layers is not None and not 0 < adapter.layers <= depth:
        raise CheckFailedError("FTS652", f"adapters on the last {adapter.layers} of {depth} layers")
    head = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
    if head and head[0].rpartition(".")[2] in adapter.target_modules:
        raise CheckFailedError("FTS652", f"trl trains no adapter on the output matrix, {head[0]}")
    try:
        made = get_peft_model(model, LoraConfig(**lora_options(adapter, depth)))
    except ValueError as fault:
        raise CheckFailedError("FTS652", str(fault).splitlines()[0]) from fault
    return adapters_in_fp32(made)


def adapters_in_fp32(model: Any) -> Any:
    """trl stores adapters of a quantised base in bf16, whose steps are too coarse for small updates."""
    for item in model.parameters():
        if item.requires_grad:
            item.data = item.data.to(torch.float32)
    return model


def load_adapter(base: Any, folder: Path) -> Any:
    """Base and adapter, to look at. Raises CheckFailedError FTS606 when there is no adapter."""
    if not (folder / "adapter_config.json").is_file():
        raise CheckFailedError("FTS606", f"there is no adapter in {folder.parent.name}/{folder.name}")
    return PeftModel.from_pretrained(base, str(folder), is_trainable=False)
