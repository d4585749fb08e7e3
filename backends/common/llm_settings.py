"""`config.json` of an LLM run as frozen dataclasses, in the plan's own words.

Each backend turns them into its own options in its `native.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strict import BadConfigError, parse

FORMAT = 1
Mode = Literal["fail", "warn", "off"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str  # score_base | train | score_tuned
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How the base is loaded. `folder` is relative to the run folder. `keeps_window`: the library is known to keep
    to its sliding window of attention, if it has one."""

    folder: str
    max_seq_length: int
    trust_remote_code: bool
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"]
    quantization_bits: Literal[4, 8] | None
    trainable_parameters: int
    keeps_window: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """`target_modules` are names of linear layers inside a block; `layers`: only the last n blocks."""

    type: Literal["lora", "dora", "qlora"]
    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]
    layers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    folder: str
    packing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """`lr_num_cycles` is read with cosine_with_restarts alone. Steps are optimizer updates."""

    global_batch_size: int
    total_steps: int
    learning_rate: float
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
    ]
    lr_num_cycles: int | None
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    optim: Literal["adamw", "adafactor", "sgd"]
    seed: int
    eval_steps: int | None
    save_steps: int
    logging_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    rising_loss: Mode
    divergence: Mode
    divergence_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """`generate_rows`: answers are written for that many of the first test rows."""

    batch_size: int
    generate_rows: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`precision`: dtype of frozen base weights and of the arithmetic."""

    device: Literal["cpu", "cuda", "mps"]
    num_processes: int
    num_threads: int
    precision: Precision
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    merge: bool
    dtype: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`adapter` None: all parameters of the model are trained."""

    format: int
    kind: Literal["LLM"]
    name: str
    stages: tuple[Stage, ...]
    model: Model
    adapter: Adapter | None
    data: Data
    train: Train
    checks: Checks
    score: Score
    machine: Machine
    export: Export

    @property
    def ships_model(self) -> bool:
        """Whether training leaves a whole model in model/; else an adapter alone."""
        return self.adapter is None or self.export.merge

    @property
    def scores_quantized(self) -> bool:
        """Whether base and tuned model are scored with `quantization_bits`: alike, and in the form that is
        shipped. A merged model is not quantised, however it was trained."""
        return self.model.quantization_bits is not None and not self.ships_model


def read_settings(path: Path) -> Settings:
    """Raises BadConfigError with the place of the first fault."""
    settings = parse(Settings, json.loads(path.read_text(encoding="utf-8")), "config")
    if settings.format != FORMAT:
        raise BadConfigError(f"config.format is {settings.format}; these programs read {FORMAT}")
    machine, batch = settings.machine, settings.train.global_batch_size
    parts = (
        machine.per_device_train_batch_size,
        machine.gradient_accumulation_steps,
        machine.num_processes,
    )
    if parts[0] * parts[1] * parts[2] != batch:
        raise BadConfigError(
            f"config.train.global_batch_size is {batch}, not "
            f"{parts[0]} rows × {parts[1]} accumulated × {parts[2]} processes"
        )
    if settings.adapter is None and settings.model.quantization_bits is not None:
        raise BadConfigError(
            "config.model.quantization_bits: weights of integers cannot be trained themselves"
        )
    return settings
