from dataclasses import replace
from typing import Any

import pytest

from ftspec.estimate.memory import (
    CPU_PROCESS_BYTES,
    MIB,
    MemoryInputs,
    activation_bytes,
    encode_memory,
    gradient_bytes,
    layer_activation_bytes,
    training_memory,
    weight_bytes,
)
from tests.estimate.models import BASE, MINILM


def inputs(rows: int, lengths: tuple[int, ...], **changes: Any) -> MemoryInputs:
    return MemoryInputs(
        **{
            "facts": MINILM,
            "column_lengths": lengths,
            "rows": rows,
            "loss_rows": rows,
            "trainable_parameters": MINILM.total_parameters,
            "malloc_tuned": True,
        }
        | changes
    )


@pytest.mark.parametrize(
    ("rows", "lengths", "precision", "measured_mib"),
    [
        (32, (128,), "fp32", 1119),
        (16, (128,) * 3, "fp32", 1654),
        (8, (256,) * 3, "bf16", 2028),
    ],
)
def test_measured_activations(rows: int, lengths: tuple[int, ...], precision: str, measured_mib: int) -> None:
    """Measured resident memory above weights and optimizer states of one MiniLM step on a CPU."""
    predicted = activation_bytes(inputs(rows, lengths, precision=precision)) / MIB
    assert predicted == pytest.approx(measured_mib, rel=0.03)


def test_measured_cached_step() -> None:
    """16 rows in three columns with mini-batches of 8: +368 MiB, gradients of the weights included."""
    cached = inputs(8, (128,) * 3, loss_rows=16, cached_loss=True)
    assert (activation_bytes(cached) + gradient_bytes(cached)) / MIB == pytest.approx(368, rel=0.03)


def test_states_of_full_training_are_16_bytes() -> None:
    estimate = training_memory(inputs(1, (8,)))
    assert estimate.weights_bytes + estimate.optimizer_bytes == 16 * MINILM.total_parameters


def test_autocast_keeps_casts_of_linear_layers() -> None:
    extra = weight_bytes(inputs(1, (8,), precision="bf16")) - weight_bytes(inputs(1, (8,)))
    assert extra == 2 * (MINILM.total_parameters - MINILM.embedding_parameters)


def test_lora_trains_little() -> None:
    adapters = 300_000
    estimate = training_memory(inputs(1, (8,), trainable_parameters=adapters, lora_parameters=adapters))
    assert estimate.optimizer_bytes == 12 * adapters
    assert estimate.weights_bytes == 4 * (MINILM.total_parameters + adapters)


def test_gradients_fill_the_place_of_activations() -> None:
    plain = inputs(32, (128, 128))
    more = training_memory(replace(plain, accumulates=True)).peak_bytes - training_memory(plain).peak_bytes
    assert more == gradient_bytes(plain)
    tiny = training_memory(inputs(1, (8,)))
    assert tiny.activation_bytes == 0
    assert tiny.peak_bytes == 16 * MINILM.total_parameters + CPU_PROCESS_BYTES


def test_glibc_keeps_freed_blocks() -> None:
    tuned = training_memory(inputs(32, (128, 128)))
    loose = training_memory(inputs(32, (128, 128), malloc_tuned=False))
    assert loose.peak_bytes == pytest.approx(1.24 * tuned.peak_bytes)


def test_kernels() -> None:
    """Bytes of one layer for one text of one token-hidden unit, by device, precision and dropout."""
    unit = 128 * 4 * 384
    scores = 12 * 128 * 128 * 4
    calm = replace(MINILM, attention_dropout=0.0)

    def layer(**changes: Any) -> int:
        return layer_activation_bytes(inputs(4, (128,), **changes), 128)

    assert layer() == 72 * unit + 12 * scores
    assert layer(precision="bf16") == 52 * unit + 12 * scores
    assert layer(facts=calm) == 64 * unit
    assert layer(device="cuda") == 66 * unit
    assert layer(device="cuda", precision="bf16") == 42 * unit
    assert layer(device="cuda", precision="bf16", attn_implementation="eager") == 42 * unit + 5 * scores
    assert layer(device="cuda", attn_implementation="eager") == 66 * unit + 9 * scores
    gated = replace(calm, linear_modules=("gate_proj", "up_proj", "down_proj"))
    assert layer(facts=gated) == 4 * (8 + 16) * unit


def test_each_technique_saves() -> None:
    plain = inputs(32, (128, 128), facts=BASE, trainable_parameters=BASE.total_parameters)
    peak = training_memory(plain).peak_bytes
    for change in (
        {"rows": 16},
        {"gradient_checkpointing": True},
        {"cached_loss": True, "rows": 8},
        {"precision": "bf16"},
        {"optim": "sgd"},
        {"frozen_embeddings": True, "frozen_layers": 6},
        {"column_lengths": (16, 128)},
    ):
        assert training_memory(replace(plain, **change)).peak_bytes < peak, change


def test_frozen_layers_below_trained_embeddings_keep_activations() -> None:
    plain = inputs(32, (128, 128))
    assert activation_bytes(replace(plain, frozen_layers=3)) == activation_bytes(plain)


def test_big_batches_pay_for_scores() -> None:
    small = activation_bytes(inputs(8, (128, 128), loss_rows=8, cached_loss=True))
    large = activation_bytes(inputs(8, (128, 128), loss_rows=8192, cached_loss=True))
    assert large - small > 16 * 8192 * 8192 - MIB


def test_encoding_needs_less_than_training() -> None:
    encode = encode_memory(MINILM, sequence_length=128, batch_size=32, texts=1000, malloc_tuned=True)
    assert encode.optimizer_bytes == 0
    assert encode.peak_bytes < training_memory(inputs(32, (128, 128))).peak_bytes
    cuda = encode_memory(MINILM, sequence_length=128, batch_size=32, device="cuda")
    assert cuda.overhead_bytes > 700 * MIB
