"""The plan of `kind: LLM`: a decoder, fine-tuned whole or by adapters, judged on held-out rows."""

from dataclasses import dataclass

from ftspec.plan.facts import DecoderFacts
from ftspec.plan.llm_data import LlmDataPlan
from ftspec.plan.model import (
    Checks,
    EvaluationPlan,
    ExecutionPlan,
    ExportPlan,
    ModelPlan,
    Plan,
    TrainPlan,
)

KIND = "LLM"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmModelPlan(ModelPlan):
    facts: DecoderFacts
    quantization_bits: int | None  # of the frozen base under training; None: its own precision


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPlan:
    """What is trained. `full` trains all weights; then every other field is None or empty."""

    type: str  # lora | dora | qlora | full
    r: int | None = None
    alpha: int | None = None  # the adapter's output is multiplied by alpha / r
    dropout: float | None = None
    target_modules: tuple[str, ...] = ()
    layers: int | None = None  # the last n layers; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmChecks(Checks):
    divergence: str  # fail | warn | off
    divergence_factor: float  # a loss above this many times the mean of the first steps diverged


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmTrainPlan(TrainPlan):
    train_on: str  # completions | assistant | all
    packing: bool
    too_long: str  # drop | truncate | fail
    checks: LlmChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmEvaluationPlan(EvaluationPlan):
    generate_rows: int  # held-out rows that answers are generated for; 0: none
    max_new_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmExportPlan(ExportPlan):
    merge: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmExecutionPlan(ExecutionPlan):
    score_batch_size: int | None = None  # rows of one forward pass over held-out data


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmPlan(Plan):
    model: LlmModelPlan
    adapter: AdapterPlan
    data: LlmDataPlan
    train: LlmTrainPlan
    evaluation: LlmEvaluationPlan
    export: LlmExportPlan
    execution: LlmExecutionPlan
