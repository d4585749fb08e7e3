"""The plan's words as options of trl, transformers and peft; nothing here imports them.

Defaults of trl that a run must not take are set here: max_length 1024 (rows are cut already),
gradient_checkpointing True, bf16 True.
"""

from pathlib import Path
from typing import Any

from llm_settings import Adapter, Settings

OPTIMIZERS = {"adamw": "adamw_torch", "adafactor": "adafactor", "sgd": "sgd"}


def trainer_options(settings: Settings, output: Path) -> dict[str, Any]:
    """Keyword arguments of `trl.SFTConfig`."""
    train, machine = settings.train, settings.machine
    cycles = train.lr_scheduler_type == "cosine_with_restarts" and train.lr_num_cycles is not None
    return {
        "output_dir": str(output),
        "max_steps": train.total_steps,
        "per_device_train_batch_size": machine.per_device_train_batch_size,
        "gradient_accumulation_steps": machine.gradient_accumulation_steps,
        "average_tokens_across_devices": True,  # a step's loss is the mean over all of its tokens
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.lr_scheduler_type,
        "lr_scheduler_kwargs": {"num_cycles": train.lr_num_cycles} if cycles else {},
        "warmup_steps": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "optim": OPTIMIZERS[train.optim],
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "seed": train.seed,
        "data_seed": train.seed,
        "use_cpu": machine.device == "cpu",
        "bf16": machine.precision == "bf16",
        "fp16": machine.precision == "fp16",
        "gradient_checkpointing": machine.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "ddp_find_unused_parameters": False,
        # Rows come as tokens with their targets, in the plan's order.
        "max_length": None,
        "packing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "remove_unused_columns": False,
        "dataloader_drop_last": False,
        "dataloader_pin_memory": machine.device == "cuda",
        # The program keeps the record itself, step by step; see llm_trainer.Record.
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def lora_options(adapter: Adapter, num_layers: int) -> dict[str, Any]:
    """Keyword arguments of `peft.LoraConfig`: its scale is lora_alpha / r, as the plan means it.

    `num_layers` of the base; the last `adapter.layers` of them get adapters.
    """
    options: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "r": adapter.r,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": list(adapter.target_modules),
        "use_dora": adapter.type == "dora",
        "bias": "none",
    }
    if adapter.layers is not None:
        options["layers_to_transform"] = list(range(num_layers - adapter.layers, num_layers))
    return options


def quantization_options(bits: int, compute_dtype: Any) -> dict[str, Any]:
    """Keyword arguments of `transformers.BitsAndBytesConfig`."""
    if bits == 8:
        return {"load_in_8bit": True}
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": compute_dtype,
    }
