"""The whole spec of `kind: LLM`."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.plan.metrics import needs_generation
from ftspec.spec.base import Section
from ftspec.spec.evaluation import Bootstrap, Gate
from ftspec.spec.llm_data import LlmData
from ftspec.spec.metadata import Metadata
from ftspec.spec.optimisation import Count, Optimisation, Positive
from ftspec.spec.resources import Resources

QUANTIZATION_BITS = 4  # of qlora, where the spec names none
GENERATE_ROWS = 100  # where a metric reads answers, and the spec names no number


class Quantization(Section):
    """The frozen base in fewer bits, under `adapter.type: qlora`."""

    bits: Literal[4, 8] = 4
    """Bits of each weight of its linear layers."""


class LlmModel(Section):
    base: Annotated[str, Field(min_length=1)]
    """Hub id (`Qwen/Qwen2.5-3B-Instruct`), short name, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    max_seq_length: Annotated[int, Field(ge=8)] | None = None
    """Tokens of a row, prompt and completion together; default: the base model's positions, at most 2048."""
    quantization: Quantization | None = None
    """The frozen base in fewer bits; `adapter.type: qlora` takes 4 bits where this is left away."""
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    """Attention kernel."""
    trust_remote_code: bool = False
    """Allow Python code that comes with the model to run. Shown in the plan."""


class Adapter(Section):
    """What is trained: low-rank adapters on a frozen base, or everything."""

    type: Literal["lora", "dora", "qlora", "full"] = "lora"
    """`qlora` is `lora` on a quantised base; `full` trains all weights."""
    r: Count = 16
    """Rank of the adapters."""
    alpha: Count = 32
    """Scale: the adapter's output is multiplied by `alpha / r`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the adapter."""
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of linear layers that get an adapter, e.g. `[q_proj, v_proj]`."""
    layers: Count | None = None
    """Only the last so many layers get adapters; default: all."""


class LlmChecks(Section):
    """Judgements about a run while it trains."""

    rising_loss: Literal["fail", "warn", "off"] = "fail"
    """The training loss of the last quarter of the steps is above that of the first, beyond its scatter."""
    divergence: Literal["fail", "warn", "off"] = "fail"
    """The loss of a step is far above that of the first steps."""
    divergence_factor: Annotated[float, Field(gt=1)] = 3.0
    """How many times their mean counts as far above."""


class LlmTrain(Optimisation):
    train_on: Literal["completions", "assistant", "all"] = "completions"
    """Tokens that are learned: the last answer, every answer of the assistant, or everything."""
    packing: bool = False
    """Put several short rows into one sequence."""
    too_long: Literal["drop", "truncate", "fail"] = "drop"
    """What to do with rows longer than `model.max_seq_length`. A row whose prompt fills it is never trained."""
    global_batch_size: Annotated[int, Field(ge=1)] = 16
    """Rows of one optimizer step, over all devices. Hardware never changes it."""
    learning_rate: Positive = 1e-4
    """Peak learning rate."""
    checks: LlmChecks = LlmChecks()
    """Judgements that can fail a run."""


class LlmEvaluation(Section):
    metrics: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["loss", "perplexity"])
    """The first one is the primary metric: the verdict speaks of it."""
    generate_rows: Annotated[int, Field(ge=0)] | None = None
    """Held-out rows that both models write answers for; default: 100 where a metric reads answers, else 0."""
    max_new_tokens: Count = 128
    """Longest answer."""
    slices: list[str] = Field(default_factory=list)
    """Columns to report results by, e.g. `[group]`."""
    bootstrap: Bootstrap = Bootstrap()
    """Interval and significance."""


class LlmExport(Section):
    dtype: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Number format of the saved weights."""
    merge: bool = True
    """Merge adapters into the weights, so that the model loads without peft; the adapter is kept beside it."""
    path: str | None = None
    """Folder to copy the model to when all gates pass, relative to the spec's folder."""


class LlmSpec(Section):
    """Fine-tune a language model, and prove on held-out rows that it is better than its base."""

    apiVersion: Literal["ftspec/v1"]  # noqa: N815 - the name that users write
    """Version of the spec language."""
    kind: Literal["LLM"]
    """What is made."""
    metadata: Metadata
    """Who the spec is."""
    model: LlmModel
    """The base model."""
    adapter: Adapter = Adapter()
    """What of it is trained."""
    data: LlmData
    """Where rows come from."""
    train: LlmTrain = LlmTrain()
    """What is learned, and how."""
    evaluation: LlmEvaluation = LlmEvaluation()
    """How the result is measured."""
    gates: dict[str, Gate] = Field(default_factory=dict)
    """What the result must reach. Where no gate has a `min_gain`, the primary metric must beat the base."""
    resources: Resources = Resources()
    """Wishes about the machine."""
    export: LlmExport = LlmExport()
    """Form of the result."""


def quantization_bits(spec: LlmSpec) -> int | None:
    """Bits of the base under training; `qlora` is quantised also where nothing else says so."""
    if spec.model.quantization is not None:
        return spec.model.quantization.bits
    return QUANTIZATION_BITS if spec.adapter.type == "qlora" else None


def generate_rows(spec: LlmSpec) -> int:
    """Held-out rows that answers are generated for."""
    wish = spec.evaluation.generate_rows
    if wish is not None:
        return wish
    return GENERATE_ROWS if needs_generation(spec.evaluation.metrics) else 0
