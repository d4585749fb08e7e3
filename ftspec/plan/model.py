"""The plan: what will run, how, and why. This is the intermediate representation of the compiler.

Frozen all the way down. `resolve` makes the first plan, in which leaves that only hardware can
settle are None; passes yield `Rewrite`s; the driver of the passes applies them and records a
`Decision` for each. Sections named like sections of the spec hold the same fields, resolved.

Here stands what every kind has. `embedding` and `llm` narrow the sections to theirs; code that works for
every kind is written against these.
"""

from dataclasses import dataclass
from enum import StrEnum

from ftspec.plan.facts import DataFacts, Machine, ModelFacts, Scalar
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.reasons import Reason

FORMAT_VERSION = "1.1"  # minor: additive; major: refuse

Value = Scalar | tuple[Scalar, ...] | FrozenMap[Scalar]


class OriginKind(StrEnum):
    GIVEN = "given"  # the user wrote it; a rewrite is an error
    DEFAULT = "default"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    kind: OriginKind
    place: str = ""  # "specs/quickstart.yaml:12:3" for GIVEN; cosmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    base: str
    revision: str | None
    max_seq_length: int
    trust_remote_code: bool
    trainable_parameters: int
    facts: ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    by: str  # auto | group | positive | random; resolved in DataFacts.split_by
    test: float
    validation: float
    seed: int
    leakage: str = "fail"  # fail | drop_train: training rows that share a text with given evaluation data


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    folder: str  # absolute folder of the spec; cosmetic: it enters no digest
    train: tuple[object, ...]  # sources, each kind's own
    evaluation: tuple[object, ...]  # empty: held out from train by `split`
    split: Split
    on_error: str  # fail | skip
    facts: DataFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """Judgements about a run while it trains: fail | warn | off."""

    rising_loss: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    global_batch_size: int
    num_train_epochs: float | None  # None: max_steps was given
    total_steps: int  # optimizer steps
    learning_rate: float
    lr_scheduler_type: str
    lr_num_cycles: int | None  # cosine_with_restarts
    warmup_steps: int
    weight_decay: float
    max_grad_norm: float
    optim: str
    seed: int
    eval_steps: int | None  # None: no validation split
    save_steps: int
    logging_steps: int
    checks: Checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    metrics: tuple[str, ...]
    primary: str
    slices: tuple[str, ...]
    baseline: str  # "base": the untuned base model
    baseline_facts: ModelFacts | None  # of another baseline
    bootstrap: Bootstrap
    detectable_gain: float | None  # at 80 % power and the gate's confidence; None: its spread is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Bounds on one metric of the tuned model; None: not asked."""

    min: float | None = None
    max: float | None = None
    min_gain: float | None = None
    confidence: float | None = None
    p50_max: float | None = None  # latency_ms only
    p95_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    dtype: str  # fp32 | bf16 | fp16
    path: str | None  # a folder to copy the model to when all gates pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPlan:
    """How this machine gets there. None before the passes ran: not decided yet."""

    backend: str | None = None
    device: str | None = None  # cpu | cuda | mps
    num_processes: int | None = None
    precision: str | None = None  # fp32 | bf16 | fp16
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    gradient_checkpointing: bool | None = None
    attn_implementation: str | None = None  # sdpa | eager | flash_attention_2
    num_threads: int | None = None
    memory_limit_bytes: int | None = None
    environment: FrozenMap[str] | None = None  # variables of the child process


class Action(StrEnum):
    RUN = "run"
    REUSE = "reuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A node of the run. `key` covers everything that can change its output."""

    name: str
    key: str
    needs: tuple[str, ...]
    action: Action = Action.RUN
    reason: Reason = Reason.NO_ARTIFACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One rewrite that was applied, or one candidate that was rejected (then before == after)."""

    field: str
    before: Value
    after: Value
    reason: Reason
    facts: FrozenMap[Value]
    by: str  # the function that decided: fit_memory
    place: str = ""  # of the spec, where the user could have settled it; cosmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Predicted peak of the training process, by part. Source of the formulas: `estimate.memory`."""

    weights_bytes: int
    optimizer_bytes: int  # gradients and optimizer states
    activation_bytes: int
    overhead_bytes: int

    @property
    def peak_bytes(self) -> int:
        return self.weights_bytes + self.optimizer_bytes + self.activation_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    peak_memory_bytes: int
    memory: MemoryEstimate
    wall_seconds: float
    stage_seconds: FrozenMap[float]
    wall_factor: float  # the true value is expected within [wall / factor, wall * factor]
    calibrated: bool


class Fidelity(StrEnum):
    """How well a backend does what a field of the plan says."""

    EXACT = "exact"
    APPROXIMATED = "approximated"
    IMPOSSIBLE = "impossible"  # of a default; what the user asked for is refused instead


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFidelity:
    """Of one leaf that the chosen backend is handed. It follows from the plan and from what the backend says
    of itself, and enters the digest: a plan was reviewed with these promises."""

    field: str
    support: Fidelity
    difference: str = ""  # empty for exact


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNote:
    """A warning that was found while planning, kept with the plan that a reviewer reads."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A finished training that is the beginning of another one, step by step, and whose last state is kept."""

    run_id: str
    step: int  # its last one


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    kind: str
    name: str
    description: str
    labels: FrozenMap[str]
    spec_path: str  # as the user wrote it; cosmetic
    spec_hash: str
    overrides: tuple[str, ...] = ()  # of --set, as written
    machine: Machine
    model: ModelPlan
    data: DataPlan
    train: TrainPlan
    evaluation: EvaluationPlan
    gates: FrozenMap[Gate]
    export: ExportPlan
    execution: ExecutionPlan
    origins: FrozenMap[Origin]  # one per leaf
    decisions: tuple[Decision, ...] = ()
    notes: tuple[PlanNote, ...] = ()
    fidelity: tuple[FieldFidelity, ...] = ()  # in the order of the leaves
    stages: tuple[Stage, ...] = ()
    estimates: Estimates | None = None
    extends: Extension | None = None  # what training goes on from, as the store is now; None: its start
    format_version: str = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What a pass yields: a new value for one leaf, with its reason and the facts it rests on.

    `value` equal to the present value records a rejected candidate (`rejected` names it in facts).
    """

    field: str
    value: Value
    reason: Reason
    facts: FrozenMap[Value] = FrozenMap()
