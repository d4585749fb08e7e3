"""What a plan can ask of a backend, and how well one does it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Feature(StrEnum):
    """What a plan can ask of a backend; the values are the words that target.yaml uses."""

    # objectives: the values are those of `train.objective.type`
    CONTRASTIVE = "contrastive"
    TRIPLET = "triplet"
    SCORED_PAIRS = "scored_pairs"
    BINARY_PAIRS = "binary_pairs"
    LABELLED_CLASSES = "labelled_classes"
    # modifiers of an objective
    CACHED_CONTRASTIVE = "cached_contrastive"  # many negatives in little memory, by two forward passes
    EXPLICIT_NEGATIVES = "explicit_negatives"  # negatives of a row beside those of its batch
    SYMMETRIC = "symmetric"  # also each document against all queries
    MASK_POSITIVES = "mask_positives"  # judged positives of the same query are no negatives
    MATRYOSHKA = "matryoshka"
    # which parameters are trained
    FREEZE = "freeze"
    LORA = "lora"
    DORA = "dora"
    QLORA = "qlora"  # adapters over a quantised base
    FULL_FINE_TUNING = "full_fine_tuning"  # of an LLM: all of its weights
    LAST_LAYERS = "last_layers"  # adapters on the last n layers only
    QUANTIZATION_4BIT = "quantization_4bit"  # the frozen base, also without `qlora`
    QUANTIZATION_8BIT = "quantization_8bit"
    POOLING = "pooling"  # another pooling than the base model's own
    PROMPTS = "prompts"
    REMOTE_CODE = "remote_code"
    # course of the training
    EARLY_STOPPING = "early_stopping"
    KEEP_BEST = "keep_best"
    RESUME = "resume"
    # A longer training goes on from the last state of a finished one: from the same bytes, by the same steps. Where
    # the device repeats sums to the last bit, as a CPU does, it ends in the bytes of a training from the start.
    EXTEND = "extend"
    RUN_CHECKS = "run_checks"  # rising loss and collapse are judged while it trains
    # how a machine gets there
    BF16 = "bf16"
    FP16 = "fp16"
    GRADIENT_ACCUMULATION = "gradient_accumulation"
    GRADIENT_CHECKPOINTING = "gradient_checkpointing"
    FLASH_ATTENTION = "flash_attention"
    PACKING = "packing"
    MULTI_PROCESS = "multi_process"
    MULTI_NODE = "multi_node"
    # what is made of a trained LLM
    GENERATION = "generation"  # greedy answers of held-out rows
    MERGE = "merge"  # adapters added into the weights of the base


_EMBEDDING_ONLY = frozenset(
    {
        Feature.CONTRASTIVE,
        Feature.TRIPLET,
        Feature.SCORED_PAIRS,
        Feature.BINARY_PAIRS,
        Feature.LABELLED_CLASSES,
        Feature.CACHED_CONTRASTIVE,
        Feature.EXPLICIT_NEGATIVES,
        Feature.SYMMETRIC,
        Feature.MASK_POSITIVES,
        Feature.MATRYOSHKA,
        Feature.FREEZE,
        Feature.POOLING,
        Feature.PROMPTS,
        Feature.EARLY_STOPPING,
        Feature.KEEP_BEST,
    }
)
_LLM_ONLY = frozenset(
    {
        Feature.DORA,
        Feature.QLORA,
        Feature.FULL_FINE_TUNING,
        Feature.LAST_LAYERS,
        Feature.QUANTIZATION_4BIT,
        Feature.QUANTIZATION_8BIT,
        Feature.GENERATION,
        Feature.MERGE,
    }
)


def features_of(kinds: Iterable[str]) -> frozenset[Feature]:
    """What plans of these kinds of spec can ask for: a backend of these kinds should speak of each."""
    other = {"Embedding": _LLM_ONLY, "LLM": _EMBEDDING_ONLY}
    return frozenset().union(*(frozenset(Feature) - other.get(kind, frozenset()) for kind in kinds))


class Support(StrEnum):
    FULL = "full"
    APPROXIMATED = "approximated"  # does something near to it; the plan says so
    NOT_IMPLEMENTED = "not_implemented"  # not yet
    IMPOSSIBLE = "impossible"  # never: the backend's library has no such thing


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
    MPS = "mps"


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


# YAML has no enums and tuples: these three may be written as text and lists in a strict model.
LaxSupport = Annotated[Support, Field(strict=False)]
Devices = Annotated[tuple[Annotated[Device, Field(strict=False)], ...], Field(strict=False, min_length=1)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
Sentence = Annotated[str, Field(min_length=1)]


class FeatureSupport(Part):
    support: LaxSupport
    """full, approximated, not_implemented (not yet) or impossible (never)."""
    why: str = ""
    """One sentence for the plan; required unless the support is full."""
    devices: Devices | None = None
    """Devices where this holds; on the others the feature is impossible. Left away: all."""

    @model_validator(mode="after")
    def _why_unless_full(self) -> Self:
        if self.support is not Support.FULL and not self.why.strip():
            raise ValueError(f"`why` is required where support is {self.support}")
        return self


def _spelled_out(value: Any) -> Any:
    """`contrastive: full` is short for `contrastive: {support: full}`."""
    return {"support": value} if isinstance(value, str) else value


PlainOrSupport = Annotated[
    FeatureSupport, BeforeValidator(_spelled_out, json_schema_input_type=FeatureSupport | Support)
]
