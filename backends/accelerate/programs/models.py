"""The model: how it is loaded, which of its parameters are trained, and how it is saved."""

from pathlib import Path
from typing import Any

import torch
from events import CheckFailedError
from peft import LoraConfig, PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from settings import Freeze, Lora, Model
from torch import nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_model(folder: Path, settings: Model | None, *, device: str, trust_remote_code: bool = False) -> Any:
    """A fresh model in fp32, from local safetensors only. `settings` None: read by its own settings."""
    options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
    if settings is not None:
        options["attn_implementation"] = settings.attn_implementation
        trust_remote_code = settings.trust_remote_code
    model: Any = SentenceTransformer(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=trust_remote_code,
        model_kwargs=options,
    )
    if settings is not None:
        model.max_seq_length = settings.max_seq_length
        model.similarity_fn_name = settings.similarity
        model.prompts = {"query": settings.prompts.query, "document": settings.prompts.document}
        model.default_prompt_name = None
        _set_pooling(model, settings.pooling)
    return model


def _set_pooling(model: Any, pooling: str) -> None:
    """`pooling` names one mode, or several joined by `+`."""
    modes = tuple(pooling.split("+"))
    for name, module in model.named_children():
        if isinstance(module, Pooling):
            present = (module.pooling_mode,) if isinstance(module.pooling_mode, str) else module.pooling_mode
            if tuple(present) != modes:
                new = Pooling(module.embedding_dimension, modes, include_prompt=module.include_prompt)
                setattr(model, name, new)


def backbone(model: Any) -> Any:
    """The transformers model inside."""
    return model[0].auto_model


def freeze(model: Any, settings: Freeze) -> None:
    """Take gradients off the embeddings and the first `layers` layers."""
    inner = backbone(model)
    if settings.embeddings:
        part = getattr(inner, "embeddings", None) or inner.get_input_embeddings()
        part.requires_grad_(False)
    if settings.layers:
        for layer in list(_layers(inner))[: settings.layers]:
            layer.requires_grad_(False)


def _layers(inner: Any) -> nn.ModuleList:
    """The stack of layers: the first ModuleList as long as the config says the model is deep."""
    depth = inner.config.num_hidden_layers
    for _, module in inner.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise CheckFailedError("FTS618", f"no stack of {depth} layers in {type(inner).__name__}")


def add_lora(model: Any, settings: Lora) -> PeftModel:
    """Put adapters into the backbone, in place; everything else loses its gradient."""
    model.requires_grad_(False)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(settings.target_modules),
    )
    return get_peft_model(backbone(model), config)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(total, trainable)."""
    sizes = [(item.numel(), item.requires_grad) for item in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def check_trainable(model: nn.Module, planned: int) -> tuple[int, int]:
    """(total, trainable). Raises CheckFailedError when the trainer would train another number than planned."""
    total, trainable = count_parameters(model)
    if trainable != planned:
        raise CheckFailedError(
            "FTS618", f"{trainable:,} of {total:,} parameters are trainable, planned are {planned:,}"
        )
    return total, trainable


def save_model(model: Any, adapter: PeftModel | None, folder: Path, *, dtype: str, merge_lora: bool) -> None:
    """A sentence-transformers folder that loads without peft. Adapters are merged into the weights; with
    `merge_lora` false they are kept in `adapter/` as well."""
    if adapter is not None:
        if not merge_lora:
            adapter.save_pretrained(str(folder / "adapter"))
        model[0].auto_model = adapter.merge_and_unload()
    model.to(DTYPES[dtype])
    model.save_pretrained(str(folder), create_model_card=False)
