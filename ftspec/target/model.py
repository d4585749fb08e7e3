"""What a backend can do, as its `target.yaml` says: devices, packages, features, lowered fields.

Passes ask a `Target` for a `Feature`, never for its name. `lower` reads `fields`, `programs`,
`helpers` and `templates`.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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


Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]  # of a plan's leaf; lists for tuples
FieldPath = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$")]
ValueOf = Callable[[str], Any]  # leaf of a plan → its value; None for a leaf that the plan does not have


class Condition(_Part):
    """What a plan must look like for something to hold. Without any part it always holds."""

    where: dict[FieldPath, Values] = Field(default_factory=dict)
    """Leaf → values, one of which it must have."""
    unless: dict[FieldPath, Values] = Field(default_factory=dict)
    """Leaf → values, none of which it may have."""

    def holds(self, value_of: ValueOf) -> bool:
        return all(is_among(value_of(path), values) for path, values in self.where.items()) and not any(
            is_among(value_of(path), values) for path, values in self.unless.items()
        )


class FieldCase(Condition):
    """What becomes of a field in a special case; with neither sentence, it is exact there."""

    values: Values | None = None
    """Values of the field itself; left away: all."""
    devices: Devices | None = None
    """Devices where it holds; left away: all."""
    approximated: Sentence | None = None
    """How the lowered value differs from what the plan says."""
    impossible: Sentence | None = None
    """Why the backend cannot do what the plan says."""

    @model_validator(mode="after")
    def _special(self) -> Self:
        if self.values is None and self.devices is None and not self.where and not self.unless:
            raise ValueError("a case needs `values`, `devices`, `where` or `unless`")
        if self.approximated and self.impossible:
            raise ValueError("`approximated` and `impossible` exclude each other")
        return self


class FieldLowering(_Part):
    """Where a field of the plan goes. Exactly one of `native`, `ignored` and `impossible` is set."""

    native: Sentence | None = None
    """The backend's own option, e.g. `SentenceTransformerTrainingArguments.learning_rate`. For a backend that
    emits a config file: the dotted name of the option there, or a text with blanks that says what decides."""
    approximated: Sentence | None = None
    """With `native`: how the lowered value differs from what the plan says."""
    ignored: Sentence | None = None
    """Why the backend is not handed the field: it is spent before lowering, or used elsewhere. Where the backend
    ought to act on it and cannot, the field is `impossible`."""
    impossible: Sentence | None = None
    """Why the backend cannot act on the field. A plan that depends on it is refused; a default that does
    is listed. `cases` name the values that ask for nothing, or for what the backend does anyway."""
    cases: Annotated[tuple[FieldCase, ...], Field(strict=False)] = ()
    """Special cases: the first that applies says how well the field is lowered."""
    values: dict[str, dict[str, Any]] | None = None
    """Of an emitted config file: the value, as YAML writes it → the options that it stands for."""
    form: Literal["last_layers"] | None = None
    """Of an emitted config file: how the option is made of the value. last_layers: numbers of the last n."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.native, self.ignored, self.impossible)) != 1:
            raise ValueError("exactly one of `native`, `ignored` and `impossible` is required")
        if self.approximated and self.native is None:
            raise ValueError("`approximated` goes with `native`")
        if self.cases and self.ignored is not None:
            raise ValueError("`cases` go with `native` or `impossible`")
        return self

    def support(self, value: Any, value_of: ValueOf, device: str | None) -> tuple[Support, str] | None:
        """How well the backend does what this field says, and the difference or why not; None where it is not
        handed the field. Null asks for nothing, unless a case names it. Without a `device`, cases of devices
        do not apply."""
        if self.ignored is not None:
            return None
        for case in self.cases:
            if (
                (case.values is None or is_among(value, case.values))
                and (case.devices is None or device in case.devices)
                and case.holds(value_of)
            ):
                return _graded(case.approximated, case.impossible)
        return (Support.FULL, "") if value is None else _graded(self.approximated, self.impossible)


def _graded(approximated: str | None, impossible: str | None) -> tuple[Support, str]:
    if impossible is not None:
        return Support.IMPOSSIBLE, impossible
    return (Support.FULL, "") if approximated is None else (Support.APPROXIMATED, approximated)


def is_among(value: Any, values: Sequence[Any]) -> bool:
    """Whether a leaf has one of the values that a target.yaml lists. Numbers are equal by value; true is not 1."""
    return any(_same(value, each) for each in values)


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, tuple | list) and isinstance(other, tuple | list):
        return len(value) == len(other) and all(map(_same, value, other))
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


class OptionsWhere(Condition):
    """Options of an emitted config file that are no field of a plan."""

    options: dict[str, Any]
    """Dotted option → value."""


class Command(Condition):
    """A command of an emitted run folder."""

    run: Annotated[Names, Field(min_length=1)]
    """Words of the command: `[axolotl, train, axolotl.yml]`."""


class Emission(_Part):
    """The config file of a library that is run by its own commands, made from `fields`."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+\.(yml|yaml|json)$")]
    """Its name in the run folder: `axolotl.yml`."""
    options: Annotated[tuple[OptionsWhere, ...], Field(strict=False)] = ()
    """What else stands in it."""
    commands: Annotated[tuple[Command, ...], Field(strict=False, min_length=1)]
    """What the launch script runs, in this order."""


_PLAIN_LOSS = 12  # bytes per logit


class MemoryCosts(_Part):
    """What a backend's own way of training an LLM costs, for the closed forms of `estimate.decoder`."""

    loss_bytes_per_logit: dict[
        Annotated[Device, Field(strict=False)], Annotated[float, Field(ge=0, strict=False)]
    ] = Field(default_factory=dict)
    """Device → peak of the loss in bytes, per token and entry of the vocabulary. A device that is not named: 12,
    for logits in fp32, their logarithms and two gradients."""
    loss_tokens: Annotated[int, Field(ge=1)] | None = None
    """The loss works on so many tokens at a time; left away: on all of a micro-batch."""
    loss_vocabulary: Annotated[int, Field(ge=1)] | None = None
    """The loss works on so many entries of the vocabulary at a time; left away: on all."""
    loss_limit_bytes: dict[Annotated[Device, Field(strict=False)], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    """Device → bytes that the loss never exceeds, because it works in parts. A device that is not named: no
    limit."""
    score_bytes_per_logit: Annotated[float, Field(ge=0, strict=False)] = 4
    """Peak of scoring, per token and entry of the vocabulary."""
    bytes_per_4bit_parameter: Annotated[float, Field(ge=0.5)] = 0.516
    """With scales: 0.516 for bitsandbytes with double quantisation, 0.5625 for groups of 64 in mlx."""
    bytes_per_8bit_parameter: Annotated[float, Field(ge=1, strict=False)] = 1.004
    """With scales."""
    quantizes_embeddings: bool = False
    """Whether embeddings and the output matrix are quantised with the linear layers."""

    def loss_bytes(self, device: str, tokens: int, vocabulary: int) -> int:
        """Peak of the loss of so many tokens."""
        known = {kind.value: count for kind, count in self.loss_bytes_per_logit.items()}
        logits = min(tokens, self.loss_tokens or tokens) * min(vocabulary, self.loss_vocabulary or vocabulary)
        needed = round(known.get(device, _PLAIN_LOSS) * logits)
        limits = {kind.value: limit for kind, limit in self.loss_limit_bytes.items()}
        return min(needed, limits.get(device, needed))

    def quantized_bytes(self, bits: int) -> float:
        """Bytes that a parameter takes in so many bits."""
        return {4: self.bytes_per_4bit_parameter, 8: self.bytes_per_8bit_parameter}[bits]


PlainOrSupport = Annotated[
    FeatureSupport, BeforeValidator(_spelled_out, json_schema_input_type=FeatureSupport | Support)
]


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
    emit: Emission | None = None
    """The config file of a library that is run by its own commands; for backends with `emit_only`."""
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

    @model_validator(mode="after")
    def _emits_what_it_does_not_run(self) -> Self:
        if self.emit is not None and self.emit_only is None:
            raise ValueError("`emit` goes with `emit_only`")
        return self

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
