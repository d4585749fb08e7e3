from dataclasses import replace
from typing import Any

import pytest

from ftspec.estimate.memory import column_lengths, memory_inputs, training_memory
from ftspec.estimate.time import (
    Calibration,
    encode_flops,
    estimate_time,
    forward_flops_per_token,
    train_flops,
    training_passes,
)
from ftspec.hardware.model import GIB, Accelerator, Cpu, Hardware
from ftspec.plan.embedding import EmbeddingPlan, Freeze, Lora
from ftspec.plan.facts import TextLengths
from ftspec.plan.frozen import FrozenMap
from tests.estimate.models import MINILM
from tests.example_evidence import example_plan

LAPTOP = Hardware(
    name="laptop",
    os="linux",
    cpu=Cpu(model=None, architecture="x86_64", physical_cores=2, usable_cores=2, mhz=2400, flags=("avx2",)),
    memory_bytes=16 * GIB,
)
SERVER = replace(
    LAPTOP,
    accelerators=(
        Accelerator(
            kind="cuda", name="A100", memory_bytes=40 * GIB, compute_capability="8.0", bf16=True, fp16=True,
            peak_tflops_fp32=19.5, peak_tflops_bf16=312.0, peak_tflops_fp16=312.0,
        ),
    ),
)  # fmt: skip


def lengths(mean: float, padded: float) -> TextLengths:
    return TextLengths(
        count=1000,
        mean=mean,
        p50=round(mean),
        p95=round(padded),
        max=400,
        share_above_limit=0.1,
        padded_mean=padded,
    )


def plan(**execution: Any) -> EmbeddingPlan:
    """1,024 pairs in batches of 32, 500 test queries and documents, MiniLM at 128 tokens."""
    start = example_plan()
    data = replace(
        start.data.facts,
        train_rows=1024,
        test_queries=500,
        test_documents=500,
        query_lengths=lengths(15.0, 25.0),
        document_lengths=lengths(100.0, 120.0),
    )
    return replace(
        start,
        model=replace(
            start.model, max_seq_length=128, facts=MINILM, trainable_parameters=MINILM.total_parameters
        ),
        data=replace(start.data, facts=data),
        train=replace(start.train, global_batch_size=32, total_steps=32, optim="adamw"),
        execution=replace(start.execution, **execution),
    )


def test_flops_per_token() -> None:
    weights = MINILM.total_parameters - MINILM.embedding_parameters
    assert forward_flops_per_token(MINILM, 128) == 2 * weights + 4 * 6 * 128 * 384


def test_training_flops_use_padded_lengths() -> None:
    row = sum(length * forward_flops_per_token(MINILM, length) for length in (25.0, 120.0))
    assert train_flops(plan()) == pytest.approx(3 * 32 * 32 * row)


def test_passes_of_a_step() -> None:
    start = plan()
    assert training_passes(start) == 3
    assert training_passes(plan(cached_loss=True)) == 4
    assert training_passes(plan(gradient_checkpointing=True)) == 4

    def with_model(**changes: Any) -> EmbeddingPlan:
        return replace(start, model=replace(start.model, **changes))

    assert training_passes(with_model(freeze=Freeze(embeddings=True, layers=3))) == 2
    assert training_passes(with_model(freeze=Freeze(layers=3))) == 2.5
    lora = Lora(r=8, alpha=16, dropout=0.0, target_modules=("query",))
    assert training_passes(with_model(lora=lora)) == 2


def test_stages_add_up() -> None:
    estimate = estimate_time(plan(), LAPTOP)
    assert set(estimate.stage_seconds) == {
        "start", "ingest", "split", "encode_base", "train", "encode_tuned", "evaluate",
    }  # fmt: skip
    assert sum(estimate.stage_seconds.values()) == pytest.approx(estimate.wall_seconds, abs=0.05)
    assert estimate.factor == 2.0
    assert not estimate.calibrated


def test_two_cores_need_about_two_minutes() -> None:
    """1,024 pairs in fp32 took 113 s on two cores, encoding 500 functions 9 s; within the stated factor."""
    stages = estimate_time(plan(), LAPTOP).stage_seconds
    assert 113 / 2 < stages["train"] < 113 * 2
    assert 13 / 2.5 < stages["encode_base"] < 13 * 2.5


def test_calibration_replaces_the_assumption() -> None:
    rate = train_flops(plan()) / 50.0
    estimate = estimate_time(plan(), LAPTOP, calibration=Calibration(train_flops_per_second=rate))
    assert estimate.stage_seconds["train"] == 50.0
    assert estimate.calibrated
    assert estimate.factor < 1.2
    both = Calibration(train_flops_per_second=rate, encode_flops_per_second=encode_flops(plan()) / 7.0)
    measured = estimate_time(
        replace(plan(), evaluation=replace(plan().evaluation, latency_queries=0)), LAPTOP, calibration=both
    )
    assert measured.stage_seconds["encode_tuned"] == 7.0


def test_accelerators_are_faster_but_not_free() -> None:
    cpu = estimate_time(plan(), LAPTOP).stage_seconds["train"]
    gpu = estimate_time(plan(device="cuda", precision="bf16"), SERVER).stage_seconds["train"]
    assert 0.3 < gpu < cpu / 10
    unknown = replace(
        SERVER, accelerators=(replace(SERVER.accelerators[0], peak_tflops_fp32=None, peak_tflops_bf16=None),)
    )
    assert gpu <= estimate_time(plan(device="cuda", precision="bf16"), unknown).stage_seconds["train"] < cpu


def test_bf16_helps_only_with_instructions_for_it() -> None:
    native = replace(LAPTOP, cpu=replace(LAPTOP.cpu, flags=("avx2", "avx512_bf16")))
    plain = estimate_time(plan(precision="bf16"), LAPTOP).stage_seconds["train"]
    assert estimate_time(plan(precision="fp32"), LAPTOP).stage_seconds["train"] == plain
    assert estimate_time(plan(precision="bf16"), native).stage_seconds["train"] < plain / 2


def test_evaluation_during_training_costs() -> None:
    start = plan()
    data = replace(
        start.data, facts=replace(start.data.facts, validation_queries=100, validation_documents=100)
    )
    busy = replace(start, data=data, train=replace(start.train, eval_steps=4))
    assert (
        estimate_time(busy, LAPTOP).stage_seconds["train"]
        > estimate_time(start, LAPTOP).stage_seconds["train"]
    )


def test_memory_inputs_of_a_plan() -> None:
    start = plan()
    assert column_lengths(start) == (128, 128)
    inputs = memory_inputs(start)
    assert (inputs.rows, inputs.loss_rows, inputs.device, inputs.malloc_tuned) == (32, 32, "cpu", False)
    cached = plan(
        cached_loss=True,
        mini_batch_size=8,
        per_device_train_batch_size=32,
        environment=FrozenMap({"MALLOC_TRIM_THRESHOLD_": "131072"}),
    )
    assert (memory_inputs(cached).rows, memory_inputs(cached).malloc_tuned) == (8, True)
    assert training_memory(memory_inputs(cached)).peak_bytes < training_memory(inputs).peak_bytes
