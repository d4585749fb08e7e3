"""The plan's words as options of unsloth; nothing here imports it. The trainer's are those of native.py."""

from typing import Any

from llm_settings import Adapter, Settings
from native import lora_options


def model_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of `FastLanguageModel.from_pretrained`, but for the place and the dtype.

    Its defaults that a run must not take: load_in_4bit True, max_seq_length 2048, gradient checkpointing.
    """
    wishes = settings.model
    return {
        "max_seq_length": wishes.max_seq_length,
        "load_in_4bit": wishes.quantization_bits == 4,
        "load_in_8bit": wishes.quantization_bits == 8,
        "full_finetuning": settings.adapter is None,
        "use_gradient_checkpointing": checkpointing(settings),
        "attn_implementation": wishes.attn_implementation,
        "trust_remote_code": wishes.trust_remote_code,
        "random_state": settings.train.seed,
        "use_exact_model_name": True,  # or a known name may become that of a quantised copy
        "local_files_only": True,
        "use_safetensors": True,
    }


def adapter_options(settings: Settings, adapter: Adapter, num_layers: int) -> dict[str, Any]:
    """Keyword arguments of `FastLanguageModel.get_peft_model`: those of `peft.LoraConfig` and its own."""
    options = lora_options(adapter, num_layers)
    del options["task_type"]  # it is always this one
    if not options["use_dora"]:
        del options["use_dora"]
    return {
        **options,
        "use_gradient_checkpointing": checkpointing(settings),
        "random_state": settings.train.seed,
        "max_seq_length": settings.model.max_seq_length,
    }


def checkpointing(settings: Settings) -> str | bool:
    """`unsloth` keeps what it needs for the backward pass in the memory of the CPU."""
    return "unsloth" if settings.machine.gradient_checkpointing else False
