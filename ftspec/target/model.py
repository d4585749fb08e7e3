"""What a backend can do, as its `target.yaml` says: devices, packages, features, lowered fields.

Passes ask a `Target` for a `Feature`, never for its name. `lower` reads `fields`, `programs`,
`helpers` and `templates`.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


# YAML has no enums and tuples: these three may be written as text and lists in a strict model.
LaxSupport = Annotated[Support, Field(strict=False)]
Devices = Annotated[tuple[Annotated[Device, Field(strict=False)], ...], Field(strict=False, min_length=1)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]
Sentence = Annotated[str, Field(min_length=1)]


class FeatureSupport(_Part):
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


class FieldLowering(_Part):
    """Where a field of the plan goes. Exactly one of `native` and `ignored` is set."""

    native: Sentence | None = None
    """The backend's own option, e.g. `SentenceTransformerTrainingArguments.learning_rate`."""
    approximated: Sentence | None = None
    """With `native`: how the lowered value differs from what the plan says."""
    ignored: Sentence | None = None
    """Why the field has no effect on this backend, or is spent before lowering."""

    @model_validator(mode="after")
    def _native_or_ignored(self) -> Self:
        if (self.native is None) == (self.ignored is None):
            raise ValueError("exactly one of `native` and `ignored` is required")
        if self.approximated and self.native is None:
            raise ValueError("`approximated` goes with `native`")
        return self


class MemoryCosts(_Part):
    """What a backend's own way of training an LLM costs, for the closed forms of `estimate.decoder`."""

    loss_bytes_per_logit: Annotated[float, Field(ge=0, strict=False)] = 12
    """Peak of the loss in bytes, per token and entry of the vocabulary: 12 for logits in fp32, their
    logarithms and gradient; near 0 where the loss works in parts."""
    bytes_per_4bit_parameter: Annotated[float, Field(ge=0.5)] = 0.516
    """With scales: 0.516 for bitsandbytes with double quantisation, 0.5625 for groups of 64 in mlx."""
    bytes_per_8bit_parameter: Annotated[float, Field(ge=1, strict=False)] = 1.004
    """With scales."""
    quantizes_embeddings: bool = False
    """Whether embeddings and the output matrix are quantised with the linear layers."""

    def quantized_bytes(self, bits: int) -> float:
        """Bytes that a parameter takes in so many bits."""
        return {4: self.bytes_per_4bit_parameter, 8: self.bytes_per_8bit_parameter}[bits]


PlainOrSupport = Annotated[
    FeatureSupport, BeforeValidator(_spelled_out, json_schema_input_type=FeatureSupport | Support)
]
FieldPath = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$")]


class TargetFile(_Part):
    """A `target.yaml`: one backend."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    """Name of the backend, equal to that of its folder."""
    description: Sentence
    """One sentence: what it trains, and with which library."""
    kinds: Annotated[Names, Field(min_length=1)]
    """Kinds of spec that it trains: `Embedding`, `LLM`."""
    devices: Devices
    """Kinds of device that it runs on, best first."""
    prefers: Annotated[tuple[Annotated[Device, Field(strict=False)], ...], Field(strict=False)] = ()
    """Kinds of device where `backend: auto` takes it before others that can do the same."""
    emit_only: Sentence | None = None
    """Why its run folder is written but not run by ftspec; `backend: auto` never takes such a backend."""
    packages: dict[str, str]
    """Packages that a run needs, with version specifiers (PEP 440): `torch: ">=2.8"`."""
    install: Sentence
    """The command that installs them: `pip install 'ftspec[accelerate]'`."""
    requirements: Sentence | None = None
    """File of exact pins in this folder, of which `ftspec backends install` makes an environment."""
    requirements_no_deps: Sentence | None = None
    """File of exact pins that are installed after `requirements` without what they ask for, where they ask
    for what cannot be had together."""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(
        default_factory=dict
    )
    """Variables of every process of this backend: `UNSLOTH_AUTO_INSTALL: "0"`."""
    features: dict[Annotated[Feature, Field(strict=False)], PlainOrSupport]
    """What it can do. A feature that is not named is not implemented."""
    memory: MemoryCosts = Field(default_factory=MemoryCosts)
    """What its way of training an LLM costs."""
    fields: dict[FieldPath, FieldLowering]
    """Plan field → native option, or why it is ignored. `model.facts.*` stands for all below."""
    programs: Names = ()
    """Python files of this folder that lowering copies into the run folder."""
    helpers: Names = ()
    """Python files of `backends/common` that the programs import."""
    templates: dict[str, str] = Field(default_factory=dict)
    """File in the run folder → template in this folder: `launch.sh: templates/launch.sh.j2`."""

    def support_of(self, feature: Feature, device: str | None = None) -> FeatureSupport:
        """How well `feature` works, on `device` where one is given."""
        found = self.features.get(feature)
        if found is None:
            why = f"{self.name} does not describe it"
            return FeatureSupport(support=Support.NOT_IMPLEMENTED, why=why)
        if device is not None and found.devices is not None and device not in found.devices:
            why = f"only on {', '.join(found.devices)}" + (f": {found.why}" if found.why else "")
            return FeatureSupport(support=Support.IMPOSSIBLE, why=why)
        return found

    def supports(self, feature: Feature, device: str | None = None) -> bool:
        """True for full and approximated support; ask `support_of` for the difference."""
        return self.support_of(feature, device).support in {Support.FULL, Support.APPROXIMATED}

    def lowering_of(self, path: str) -> FieldLowering | None:
        """The entry for a leaf of the plan: its own, else the longest `prefix.*` above it.

        `data.train[0].path` and `data.train.0.path` both lie under `data.train.*`.
        """
        path = path.replace("[", ".").replace("]", "")
        if path in self.fields:
            return self.fields[path]
        parts = path.split(".")
        for end in range(len(parts) - 1, 0, -1):
            found = self.fields.get(".".join((*parts[:end], "*")))
            if found is not None:
                return found
        return None


class Target(TargetFile):
    """A loaded backend: its `target.yaml` and where that lies."""

    folder: Path
    """Folder of target.yaml; programs and templates are relative to it."""


def unlowered_fields(target: TargetFile, leaf_paths: Iterable[str]) -> list[str]:
    """Leaves of a plan that the target neither lowers nor declares ignored; must be empty."""
    return sorted(path for path in set(leaf_paths) if target.lowering_of(path) is None)


def dangling_fields(target: TargetFile, leaf_paths: Iterable[str]) -> list[str]:
    """Entries of `fields` that name no leaf of the plan: misspelt, or left over."""
    leaves = set(leaf_paths)
    return sorted(
        entry
        for entry in target.fields
        if not (
            any(leaf.startswith(entry[:-1]) for leaf in leaves) if entry.endswith(".*") else entry in leaves
        )
    )
