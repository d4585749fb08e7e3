"""Wall time of a run, from floating-point operations and padded lengths.

Forward operations per token of a text of s tokens: 2·(parameters outside of the embeddings) + 4·L·s·h.
Padded lengths are those of batches; mean lengths would predict 40 to 50 % too little.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ftspec.hardware.model import Accelerator, Hardware
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import ModelFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan
from ftspec.plan.objectives import text_columns

UNCALIBRATED_FACTOR = 2.0  # another CPU or GPU than the one the shares below were measured on
CALIBRATED_FACTOR = 1.15  # measured earlier on this machine with this model; end-to-end error was ±10 %

# Share of the stated peak that training and encoding reach. CPU: all-MiniLM-L6-v2, batch 32, 128 tokens
# (benchmarks/calibrate_time.py) reached 0.36 to 0.50 and 0.98 on two AVX2 cores, whose clock goes above the
# stated one; with AVX-512 real runs reached 0.54 and 0.65 to 0.82. GPU: an assumption, not measured.
CPU_TRAIN_SHARE = 0.45
CPU_ENCODE_SHARE = 0.80
CPU_BF16_SPEEDUP = 2.3  # autocast with avx512_bf16 or amx_bf16, measured on a training step
GPU_SHARE = 0.35
GPU_STEP_SECONDS = 0.010  # the trainer's own work in a step, and the optimizer's kernels
GPU_LAUNCH_SECONDS = 0.0002  # kernels of one layer in one forward pass: a floor, whatever the peak

START_SECONDS = 10.0  # importing the training stack and loading the model: 7 to 12 measured
_ROW_SECONDS = {"code": 1e-3, "file": 1e-4, "beir": 1e-4}  # parse, normalise, deduplicate, digest
_LATENCY_SECONDS = 0.02  # one query alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Rates measured by an earlier run with the same machine, model and precision: operations, as
    `train_flops` and `encode_flops` (`score_flops` of an LLM) count them, per second. None: not measured."""

    train_flops_per_second: float
    encode_flops_per_second: float | None = None
    generation_seconds: float | None = (
        None  # of one token of a batch of answers, were each as long as it may be
    )
    start_seconds: float | None = None  # of all that is no training and no scoring: imports, loading, merging


class TimeEstimate(NamedTuple):
    """The true wall time is expected within [wall / factor, wall × factor]."""

    stage_seconds: FrozenMap[float]
    wall_seconds: float
    factor: float
    calibrated: bool


def forward_flops_per_token(facts: ModelFacts, length: float) -> float:
    """2·P + 4·L·s·h with P outside of the embeddings, for a token in a text padded to `length`."""
    weights = facts.total_parameters - facts.embedding_parameters
    return 2 * weights + 4 * facts.num_layers * length * facts.hidden_size


def text_flops(facts: ModelFacts, length: float) -> float:
    return length * forward_flops_per_token(facts, length)


def training_passes(plan: EmbeddingPlan) -> float:
    """Cost of a training step in forward passes: 3 in full (activations and weights once each), one more
    when activations are computed twice (cached loss, gradient checkpointing).

    A frozen layer has no gradients of weights; below the first trained parameter there are none at all.
    LoRA's own gradients are counted as nothing.
    """
    model = plan.model
    layers = model.facts.num_layers
    trained = (layers - model.freeze.layers) / layers
    reached = trained if model.freeze.embeddings else 1.0
    if model.lora is not None:
        trained, reached = 0.0, 1.0
    twice = bool(plan.execution.cached_loss) or bool(plan.execution.gradient_checkpointing)
    return 1 + reached + trained + (1 if twice else 0)


def train_flops(plan: EmbeddingPlan) -> float:
    """Of all optimizer steps, over all devices; evaluation during training is not in it."""
    data, train = plan.data.facts, plan.train
    columns = text_columns(train.roles, train.objective.num_negatives)
    row = text_flops(plan.model.facts, data.query_lengths.padded_mean)
    row += max(columns - 1, 0) * text_flops(plan.model.facts, data.document_lengths.padded_mean)
    return train.total_steps * train.global_batch_size * row * training_passes(plan)


def encode_flops(plan: EmbeddingPlan, *, base: bool = False) -> float:
    """Of the held-out queries and documents, by the tuned model or the baseline. Texts are sorted by
    length before they are encoded, so that padding costs nothing."""
    data = plan.data.facts
    facts = (plan.evaluation.baseline_facts or plan.model.facts) if base else plan.model.facts
    query = min(data.query_lengths.mean, data.query_lengths.padded_mean)
    document = min(data.document_lengths.mean, data.document_lengths.padded_mean)
    return data.test_queries * text_flops(facts, query) + data.test_documents * text_flops(facts, document)


def estimate_time(
    plan: EmbeddingPlan, hardware: Hardware, *, calibration: Calibration | None = None
) -> TimeEstimate:
    """Seconds of each stage, as if none were reused, and their sum."""
    precision = plan.execution.precision or "fp32"
    accelerator = planned_accelerator(plan, hardware)
    rate = train_rate(hardware, accelerator, precision)
    encode_rate = _encode_rate(hardware, accelerator)
    if calibration is not None:
        encode_rate *= calibration.train_flops_per_second / rate
        rate = calibration.train_flops_per_second
        encode_rate = calibration.encode_flops_per_second or encode_rate
    processes = (plan.execution.num_processes or 1) if accelerator is not None else 1
    train = train_flops(plan) / rate / processes
    if accelerator is not None:
        train = max(train, _launch_seconds(plan) if calibration is None else 0.0)
    tuned = encode_flops(plan) / encode_rate
    stages = {
        "start": START_SECONDS,
        "ingest": _ingest_seconds(plan),
        "split": 0.5 + 2e-5 * plan.data.facts.train_rows,
        "encode_base": encode_flops(plan, base=True) / encode_rate + _latency_seconds(plan),
        "train": train + _validation_seconds(plan, tuned),
        "encode_tuned": tuned + _latency_seconds(plan),
        "evaluate": _evaluate_seconds(plan),
    }
    rounded = FrozenMap({name: round(seconds, 1) for name, seconds in stages.items()})
    return TimeEstimate(
        stage_seconds=rounded,
        wall_seconds=round(sum(rounded.values()), 1),
        factor=UNCALIBRATED_FACTOR if calibration is None else CALIBRATED_FACTOR,
        calibrated=calibration is not None,
    )


def planned_accelerator(plan: Plan, hardware: Hardware) -> Accelerator | None:
    """The device of the plan; None on the CPU. Plans name ROCm devices `cuda`, as torch does."""
    wanted = {"cuda": ("cuda", "rocm")}.get(plan.execution.device or "cpu", (plan.execution.device,))
    return next((item for item in hardware.accelerators if item.kind in wanted), None)


def train_rate(hardware: Hardware, accelerator: Accelerator | None, precision: str) -> float:
    """Operations per second of a training step."""
    if accelerator is None:
        speedup = CPU_BF16_SPEEDUP if precision == "bf16" and hardware.cpu.bf16 else 1.0
        return hardware.cpu_gflops_fp32 * 1e9 * CPU_TRAIN_SHARE * speedup
    peaks = {"bf16": accelerator.peak_tflops_bf16, "fp16": accelerator.peak_tflops_fp16}
    return _gpu_rate(hardware, accelerator, peaks.get(precision))


def _encode_rate(hardware: Hardware, accelerator: Accelerator | None) -> float:
    """Operations per second of encoding, which is always fp32."""
    if accelerator is None:
        return hardware.cpu_gflops_fp32 * 1e9 * CPU_ENCODE_SHARE
    return _gpu_rate(hardware, accelerator, None)


def _gpu_rate(hardware: Hardware, accelerator: Accelerator, peak_tflops: float | None) -> float:
    """An accelerator without stated peaks counts as ten times the machine's CPU."""
    peak = peak_tflops or accelerator.peak_tflops_fp32
    return GPU_SHARE * (peak * 1e12 if peak else hardware.cpu_gflops_fp32 * 1e10)


def _launch_seconds(plan: EmbeddingPlan) -> float:
    """Floor of training on an accelerator: kernels are launched one after the other."""
    columns = text_columns(plan.train.roles, plan.train.objective.num_negatives)
    micro = max(plan.execution.gradient_accumulation_steps or 1, 1)
    if plan.execution.cached_loss and plan.execution.mini_batch_size:
        batch = plan.execution.per_device_train_batch_size or plan.train.global_batch_size
        micro *= -(-batch // plan.execution.mini_batch_size)
    passes = columns * micro * training_passes(plan)
    step = GPU_STEP_SECONDS + passes * plan.model.facts.num_layers * GPU_LAUNCH_SECONDS
    return plan.train.total_steps * step


def _validation_seconds(plan: EmbeddingPlan, tuned_encode_seconds: float) -> float:
    """Evaluations on the validation split, as a share of encoding the test split."""
    data = plan.data.facts
    tests = data.test_queries + data.test_documents
    if plan.train.eval_steps is None or not tests:
        return 0.0
    evaluations = plan.train.total_steps // plan.train.eval_steps
    share = (data.validation_queries + data.validation_documents) / tests
    return evaluations * share * tuned_encode_seconds


def _ingest_seconds(plan: EmbeddingPlan) -> float:
    sources = [*plan.data.train, *plan.data.evaluation]
    facts = plan.data.facts.sources
    rows = sum(
        _ROW_SECONDS.get(source.type, 1e-4) * fact.rows for source, fact in zip(sources, facts, strict=False)
    )
    return 0.5 + rows


def _latency_seconds(plan: EmbeddingPlan) -> float:
    return _LATENCY_SECONDS * min(plan.evaluation.latency_queries, plan.data.facts.test_queries)


def _evaluate_seconds(plan: EmbeddingPlan) -> float:
    """Rankings of both models over all dimensions, metrics per query, resampling."""
    data, evaluation = plan.data.facts, plan.evaluation
    pairs = 2.0 * data.test_queries * data.test_documents * sum(evaluation.dimensions) * 2
    queries = 2.0 * data.test_queries * max(len(evaluation.dimensions), 1)
    resampling = 1e-9 * evaluation.bootstrap.resamples * data.test_queries * len(evaluation.metrics)
    return 2.0 + pairs / 1e10 + 2e-3 * queries + resampling
