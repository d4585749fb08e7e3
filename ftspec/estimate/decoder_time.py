"""Wall time of fine-tuning and scoring a decoder, from floating-point operations and padded lengths.

Forward operations per token of a row of s tokens: 2·(parameters outside of the embeddings, the output matrix
among them) + 4·L·s·q, q = heads × head size. Generation reads all weights for every token.
"""

from ftspec.estimate.decoder import base_weight_bytes
from ftspec.estimate.time import (
    CPU_ENCODE_SHARE,
    CPU_TRAIN_SHARE,
    START_SECONDS,
    Calibration,
    TimeEstimate,
    planned_accelerator,
    train_rate,
)
from ftspec.hardware.model import Accelerator, Hardware
from ftspec.plan.facts import DecoderFacts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmPlan
from ftspec.target.model import MemoryCosts

# No run of an LLM stands behind the shares of the peak: they are those of embedding models, and generation
# assumes that every answer is as long as it may be.
UNCALIBRATED_FACTOR = 3.0
CALIBRATED_FACTOR = 1.5  # training is measured; answers and loading stay assumptions
QUANTISED_FACTOR = 1.3  # packed weights are unpacked for every use; an assumption
LOAD_BYTES_PER_SECOND = 1e9  # weights from a disk into memory; an assumption
CPU_GB_PER_SECOND = 20.0  # memory of a CPU, where nothing states it; an assumption
_ROW_SECONDS = 1e-4  # parse, normalise, deduplicate, digest
_TOKENS_PER_SECOND = 2e5  # cutting texts into tokens


def forward_flops_per_token(facts: DecoderFacts, length: float) -> float:
    """2·P + 4·L·s·q, for a token in a row padded to `length`."""
    weights = facts.total_parameters - facts.embedding_parameters
    if facts.tied_embeddings:
        weights += facts.vocab_size * facts.hidden_size
    return 2 * weights + 4 * facts.num_layers * length * facts.num_attention_heads * facts.head_dim


def training_passes(plan: LlmPlan) -> float:
    """Cost of a training step in forward passes: 3 in full. Frozen weights have no gradients: 2; below the
    lowest adapter nothing runs backward. One more, of the layers that do, with gradient checkpointing."""
    layers = plan.model.facts.num_layers
    reached = min(plan.adapter.layers or layers, layers) / layers
    again = reached if plan.execution.gradient_checkpointing else 0.0
    return 1 + reached + again + (1 if plan.adapter.type == "full" else 0)


def train_flops(plan: LlmPlan) -> float:
    """Of all optimizer steps, over all devices; validation during training is not in it."""
    length = _padded_length(plan)
    rows = plan.train.total_steps * plan.train.global_batch_size
    return rows * length * forward_flops_per_token(plan.model.facts, length) * training_passes(plan)


def score_flops(plan: LlmPlan) -> float:
    """Of the losses of all held-out rows; generation is not in it."""
    data = plan.data.facts
    return data.test_tokens * forward_flops_per_token(plan.model.facts, data.lengths.mean)


def load_seconds(plan: LlmPlan) -> float:
    """Of reading the weights of the base once."""
    return plan.model.facts.weights_bytes / LOAD_BYTES_PER_SECOND


def generation_tokens(plan: LlmPlan) -> int:
    """Passes one behind the other that write all answers, were each as long as it may be."""
    rows = min(plan.evaluation.generate_rows, plan.data.facts.test_rows)
    return -(-rows // (plan.execution.score_batch_size or 1)) * plan.evaluation.max_new_tokens


def estimate_decoder_time(
    plan: LlmPlan, hardware: Hardware, costs: MemoryCosts, *, calibration: Calibration | None = None
) -> TimeEstimate:
    """Seconds of each stage, as if none were reused, and their sum."""
    precision = plan.execution.precision or "fp32"
    accelerator = planned_accelerator(plan, hardware)
    rate = train_rate(hardware, accelerator, precision)
    score_rate = rate * (CPU_ENCODE_SHARE / CPU_TRAIN_SHARE if accelerator is None else 1.0)
    quantised = QUANTISED_FACTOR if plan.model.quantization_bits else 1.0
    generation, start = None, None
    if calibration is None:
        rate /= quantised
    else:
        score_rate *= calibration.train_flops_per_second / rate
        rate = calibration.train_flops_per_second
        score_rate = calibration.encode_flops_per_second or score_rate
        generation, start = calibration.generation_seconds, calibration.start_seconds
    processes = (plan.execution.num_processes or 1) if accelerator is not None else 1
    data = plan.data.facts
    load = load_seconds(plan)
    train_load = (
        load + (2 * load if plan.export.merge else 0.0) if start is None else 0.0
    )  # or measured in start
    scoring = score_flops(plan) / score_rate
    scoring += (
        _generation_seconds(plan, accelerator, costs, score_rate)
        if generation is None
        else generation_tokens(plan) * generation
    )
    stages = {
        "start": START_SECONDS if start is None else start,
        "ingest": 0.5 + _ROW_SECONDS * sum(source.rows for source in data.sources),
        "split": 0.5 + 2e-5 * data.train_rows,
        "tokenize": 0.5 + (data.train_tokens + data.test_tokens) / _TOKENS_PER_SECOND,
        "score_base": load + scoring,
        "train": train_load
        + train_flops(plan) / rate / processes
        + _validation_seconds(plan, score_flops(plan) / score_rate),
        "score_tuned": load + scoring,
        "evaluate": 2.0 + 1e-9 * plan.evaluation.bootstrap.resamples * data.test_rows,
    }
    rounded = FrozenMap({name: round(seconds, 1) for name, seconds in stages.items()})
    return TimeEstimate(
        stage_seconds=rounded,
        wall_seconds=round(sum(rounded.values()), 1),
        factor=UNCALIBRATED_FACTOR if calibration is None else CALIBRATED_FACTOR,
        calibrated=calibration is not None,
    )


def _padded_length(plan: LlmPlan) -> float:
    """Tokens of a row as the model sees it, padding included."""
    if plan.train.packing:
        return float(plan.model.max_seq_length)
    return min(plan.data.facts.lengths.padded_mean, float(plan.model.max_seq_length))


def _generation_seconds(
    plan: LlmPlan, accelerator: Accelerator | None, costs: MemoryCosts, score_rate: float
) -> float:
    """Every token of a batch of answers reads the weights once, and computes them for each row."""
    facts, run = plan.model.facts, plan.execution
    batch = run.score_batch_size or 1
    quantised = None if plan.export.merge else plan.model.quantization_bits
    weights = base_weight_bytes(facts, run.precision or "fp32", quantised, costs)
    bandwidth = (accelerator.memory_gb_per_second if accelerator is not None else None) or CPU_GB_PER_SECOND
    computing = batch * forward_flops_per_token(facts, plan.data.facts.lengths.mean) / score_rate
    return generation_tokens(plan) * max(weights / (bandwidth * 1e9), computing)


def _validation_seconds(plan: LlmPlan, score_seconds: float) -> float:
    """Evaluations on the validation split, as a share of scoring the test split."""
    data = plan.data.facts
    if plan.train.eval_steps is None or not data.test_rows:
        return 0.0
    evaluations = plan.train.total_steps // plan.train.eval_steps
    return evaluations * data.validation_rows / data.test_rows * score_seconds
