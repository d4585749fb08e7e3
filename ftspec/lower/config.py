"""`config.json` of a run folder: the plan in the options of the backend's own library.

The layout belongs to the programs of the backend (`settings.py` there reads it, and refuses unknown
keys). Everything is a plain value or a path relative to the run folder, so the folder can move.
"""

from typing import Any, TypedDict

from ftspec.plan.embedding import EmbeddingPlan, EmbeddingTrainPlan
from ftspec.plan.model import Action, Plan
from ftspec.plan.objectives import traits_of
from ftspec.plan.stages import program_stages

FORMAT = 1
BASE, BASELINE, DATA = "base", "baseline", "data"  # folders of the run folder

OPTIMIZERS = {"adamw": "adamw_torch_fused", "adafactor": "adafactor", "sgd": "sgd"}


class StageEntry(TypedDict):
    name: str
    key: str


class PromptsEntry(TypedDict):
    query: str
    document: str


class FreezeEntry(TypedDict):
    embeddings: bool
    layers: int


class LoraEntry(TypedDict):
    """Options of `peft.LoraConfig`."""

    r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: list[str]


class ModelEntry(TypedDict):
    folder: str
    trust_remote_code: bool
    attn_implementation: str
    max_seq_length: int
    pooling: str
    similarity: str
    prompts: PromptsEntry
    freeze: FreezeEntry
    lora: LoraEntry | None
    trainable_parameters: int


class DataEntry(TypedDict):
    folder: str
    roles: list[str]
    num_negatives: int


class LossEntry(TypedDict):
    """Fields that the objective does not read are null; no Matryoshka dimensions: the full width."""

    objective: str
    variant: str | None
    temperature: float | None
    symmetric: bool | None
    mask_positives: bool | None
    margin: float | None
    distance: str | None
    matryoshka_dims: list[int]
    matryoshka_weights: list[float]
    cached: bool
    mini_batch_size: int


class ValidationEntry(TypedDict):
    eval_steps: int
    metric: str
    patience: int | None
    min_delta: float
    keep_best: bool


class ChecksEntry(TypedDict):
    rising_loss: str
    collapse: str
    max_mean_cosine: float


class EncodeEntry(TypedDict):
    batch_size: int
    latency_queries: int
    baseline_folder: str | None


class MachineEntry(TypedDict):
    device: str
    num_processes: int
    num_threads: int


class ExportEntry(TypedDict):
    dtype: str
    merge_lora: bool


class Config(TypedDict):
    """`arguments` are keyword arguments of `SentenceTransformerTrainingArguments`."""

    format: int
    name: str
    stages: list[StageEntry]
    model: ModelEntry
    data: DataEntry
    loss: LossEntry
    arguments: dict[str, Any]
    validation: ValidationEntry | None
    checks: ChecksEntry
    encode: EncodeEntry
    machine: MachineEntry
    export: ExportEntry


def build_config(plan: EmbeddingPlan, reused: frozenset[str] = frozenset()) -> Config:
    """The config of a complete plan. Stages that the plan reuses are left out unless their output is
    put into the run folder (`reused`)."""
    run = plan.execution
    assert run.device is not None, "the plan is not complete"
    assert run.num_processes is not None
    assert run.num_threads is not None
    assert run.encode_batch_size is not None
    return Config(
        format=FORMAT,
        name=plan.name,
        stages=program_entries(plan, reused),
        model=_model(plan),
        data=DataEntry(
            folder=DATA, roles=list(plan.train.roles), num_negatives=plan.train.objective.num_negatives or 0
        ),
        loss=_loss(plan),
        arguments=_arguments(plan),
        validation=_validation(plan),
        checks=ChecksEntry(
            rising_loss=plan.train.checks.rising_loss,
            collapse=plan.train.checks.collapse,
            max_mean_cosine=plan.train.checks.max_mean_cosine,
        ),
        encode=EncodeEntry(
            batch_size=run.encode_batch_size,
            latency_queries=plan.evaluation.latency_queries,
            baseline_folder=None if plan.evaluation.baseline_facts is None else BASELINE,
        ),
        machine=MachineEntry(device=run.device, num_processes=run.num_processes, num_threads=run.num_threads),
        export=ExportEntry(dtype=plan.export.dtype, merge_lora=plan.export.merge_lora),
    )


def program_entries(plan: Plan, reused: frozenset[str]) -> list[StageEntry]:
    """Stages that the programs run, and those whose output is put into the run folder (`reused`)."""
    names = program_stages(plan)
    return [
        StageEntry(name=stage.name, key=stage.key)
        for stage in plan.stages
        if stage.name in names and (stage.action is Action.RUN or stage.name in reused)
    ]


def _model(plan: EmbeddingPlan) -> ModelEntry:
    model, attention = plan.model, plan.execution.attn_implementation
    assert attention is not None
    lora = model.lora
    return ModelEntry(
        folder=BASE,
        trust_remote_code=model.trust_remote_code,
        attn_implementation=attention,
        max_seq_length=model.max_seq_length,
        pooling=model.pooling,
        similarity=model.similarity,
        prompts=PromptsEntry(query=model.prompts.query, document=model.prompts.document),
        freeze=FreezeEntry(embeddings=model.freeze.embeddings, layers=model.freeze.layers),
        lora=None
        if lora is None
        else LoraEntry(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.target_modules),
        ),
        trainable_parameters=model.trainable_parameters,
    )


def _loss(plan: EmbeddingPlan) -> LossEntry:
    objective, run, prefixes = plan.train.objective, plan.execution, plan.train.matryoshka
    assert run.cached_loss is not None
    assert run.per_device_train_batch_size is not None
    return LossEntry(
        objective=objective.type,
        variant=objective.loss,
        temperature=objective.temperature,
        symmetric=objective.symmetric,
        mask_positives=objective.mask_positives,
        margin=objective.margin,
        distance=objective.distance,
        matryoshka_dims=[] if prefixes is None else list(prefixes.dimensions),
        matryoshka_weights=[] if prefixes is None else list(prefixes.weights),
        cached=run.cached_loss,
        mini_batch_size=run.mini_batch_size or run.per_device_train_batch_size,
    )


def _arguments(plan: EmbeddingPlan) -> dict[str, Any]:
    train, run = plan.train, plan.execution
    arguments: dict[str, Any] = {
        "max_steps": train.total_steps,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.lr_scheduler_type,
        "lr_scheduler_kwargs": {} if train.lr_num_cycles is None else {"num_cycles": train.lr_num_cycles},
        "warmup_steps": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "optim": OPTIMIZERS[train.optim],
        "seed": train.seed,
        "per_device_train_batch_size": run.per_device_train_batch_size,
        "gradient_accumulation_steps": run.gradient_accumulation_steps,
        "bf16": run.precision == "bf16",
        "fp16": run.precision == "fp16",
        "use_cpu": run.device == "cpu",
        "dataloader_drop_last": traits_of(train.objective.type).drop_last,
        "dataloader_pin_memory": run.device == "cuda",
        "logging_strategy": "steps",
        "logging_steps": train.logging_steps,
        "logging_nan_inf_filter": False,  # a loss that is no number must be seen
        "save_strategy": "steps",
        "save_steps": train.save_steps,
        "eval_strategy": "no",  # the program measures the validation split itself
        "report_to": "none",
        "disable_tqdm": True,
    }
    if run.gradient_checkpointing:
        arguments["gradient_checkpointing"] = True
        arguments["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    return arguments


def _validation(plan: EmbeddingPlan) -> ValidationEntry | None:
    train = plan.train
    if train.eval_steps is None:
        return None
    early = train.early_stopping
    return ValidationEntry(
        eval_steps=train.eval_steps,
        metric=validation_metric(train, plan.evaluation.primary),
        patience=None if early is None else early.patience,
        min_delta=0.0 if early is None else early.min_delta,
        keep_best=train.keep_best,
    )


def validation_metric(train: EmbeddingTrainPlan, primary: str) -> str:
    """What checkpoints are compared by: the metric of early stopping, else the primary metric."""
    return primary if train.early_stopping is None else train.early_stopping.metric
