"""The plan of `kind: Embedding`: a bi-encoder, trained on pairs, judged by rankings."""

from dataclasses import dataclass

from ftspec.plan.facts import EmbeddingDataFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import (
    Checks,
    DataPlan,
    EvaluationPlan,
    ExecutionPlan,
    ExportPlan,
    ModelPlan,
    Plan,
    TrainPlan,
    Value,
)
from ftspec.plan.synth import SynthSettings

KIND = "Embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    query: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    embeddings: bool = False
    layers: int = 0  # the first n transformer layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModelPlan(ModelPlan):
    prompts: Prompts
    pooling: str
    similarity: str
    freeze: Freeze
    lora: Lora | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """One data source; `path` as written, relative to `DataPlan.folder`."""

    type: str  # code | file | beir | documents
    path: str
    format: str | None = None  # file: jsonl | json | csv | parquet
    roles: FrozenMap[Value] = FrozenMap()  # file: role -> column (negatives: a tuple of columns)
    split: str | None = None  # beir: the qrels file to read
    include: tuple[str, ...] = ()  # code: glob patterns
    exclude: tuple[str, ...] = ()
    synthesize: SynthSettings | None = None  # documents: who wrote the queries; its result is in the digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    min_query_chars: int
    max_query_chars: int | None
    min_document_chars: int
    max_document_chars: int | None
    deduplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    train: int | None
    test_queries: int | None
    test_documents: int | None  # judged documents are always kept


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingDataPlan(DataPlan):
    train: tuple[SourcePlan, ...]
    evaluation: tuple[SourcePlan, ...]
    filters: Filters
    limit: Limit
    facts: EmbeddingDataFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`type` decides which of the other fields are set; those that it does not read are None."""

    type: str  # contrastive | triplet | scored_pairs | binary_pairs | labelled_classes
    loss: str | None = None
    temperature: float | None = None
    symmetric: bool | None = None
    mask_positives: bool | None = None
    num_negatives: int | None = None  # explicit negatives per row that reach the loss
    margin: float | None = None
    distance: str | None = None  # cosine | euclidean


@dataclass(frozen=True, slots=True, kw_only=True)
class Matryoshka:
    dimensions: tuple[int, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    metric: str  # loss, or a metric name on the validation split
    patience: int  # evaluations without an improvement
    min_delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingChecks(Checks):
    collapse: str
    max_mean_cosine: float  # of random pairs of documents; above it the embeddings collapsed


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTrainPlan(TrainPlan):
    objective: Objective
    matryoshka: Matryoshka | None
    roles: tuple[str, ...]  # the columns that reach the loss, in this order
    early_stopping: EarlyStopping | None
    keep_best: bool
    checks: EmbeddingChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingEvaluationPlan(EvaluationPlan):
    top_k: int
    latency_queries: int  # 0: not measured
    dimensions: tuple[int, ...]  # full width first, then Matryoshka prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingExportPlan(ExportPlan):
    merge_lora: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingExecutionPlan(ExecutionPlan):
    cached_loss: bool | None = None
    mini_batch_size: int | None = None  # of the cached loss; equals the batch otherwise
    encode_batch_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingPlan(Plan):
    model: EmbeddingModelPlan
    data: EmbeddingDataPlan
    train: EmbeddingTrainPlan
    evaluation: EmbeddingEvaluationPlan
    export: EmbeddingExportPlan
    execution: EmbeddingExecutionPlan
