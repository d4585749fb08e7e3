"""`config.json` as frozen dataclasses. An unknown or missing key is an error, never a default."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strict import BadConfigError, parse

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str  # encode_base | train | encode_tuned
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    query: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    embeddings: bool
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Options of `peft.LoraConfig`."""

    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How the base model is loaded and what of it is trained. Folders are relative to the run folder."""

    folder: str
    trust_remote_code: bool
    attn_implementation: str
    max_seq_length: int
    pooling: str
    similarity: str  # cosine | dot
    prompts: Prompts
    freeze: Freeze
    lora: Lora | None
    trainable_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """`roles` are the columns that reach the loss, in this order; `negatives` stands for several."""

    folder: str
    roles: tuple[str, ...]
    num_negatives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """`objective` decides which fields are read; the others are null."""

    objective: str
    variant: str | None
    temperature: float | None
    symmetric: bool | None
    mask_positives: bool | None
    margin: float | None
    distance: str | None
    matryoshka_dims: tuple[int, ...]  # empty: the full width only
    matryoshka_weights: tuple[float, ...]
    cached: bool
    mini_batch_size: int  # of the cached form


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """`metric` is `loss` or a ranking metric such as `ndcg@10`; `patience` null: no early stopping."""

    eval_steps: int
    metric: str
    patience: int | None
    min_delta: float
    keep_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    rising_loss: str  # fail | warn | off
    collapse: str
    max_mean_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """Embeddings for the evidence. `baseline_folder`: another model than the base, read by its own settings."""

    batch_size: int
    latency_queries: int
    baseline_folder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    device: str  # cpu | cuda | mps
    num_processes: int
    num_threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    dtype: str  # fp32 | bf16 | fp16
    merge_lora: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`arguments` goes to `SentenceTransformerTrainingArguments` as it stands."""

    format: int
    name: str
    stages: tuple[Stage, ...]
    model: Model
    data: Data
    loss: Loss
    arguments: dict[str, Any]
    validation: Validation | None
    checks: Checks
    encode: Encode
    machine: Machine
    export: Export


def read_settings(path: Path) -> Settings:
    """Raises BadConfigError with the place of the first fault."""
    settings = parse(Settings, json.loads(path.read_text(encoding="utf-8")), "config")
    if settings.format != FORMAT:
        raise BadConfigError(f"config.format is {settings.format}; these programs read {FORMAT}")
    return settings
