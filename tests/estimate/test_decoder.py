"""The closed forms of decoders: bytes that torch was seen to keep, and what each technique saves."""

from dataclasses import replace
from typing import Any

import pytest

from ftspec.estimate.decoder import (
    DecoderInputs,
    activation_bytes,
    base_weight_bytes,
    batch_widths,
    decoder_inputs,
    decoder_training_memory,
    gradient_bytes,
    layer_bytes_per_token,
    layer_constant_bytes,
    longest_scored_row,
    loss_bytes,
    scoring_memory,
    weight_bytes,
)
from ftspec.estimate.memory import CPU_PROCESS_BYTES
from ftspec.models.decoder import read_decoder_facts
from ftspec.passes.predict import predict_scoring_peak
from ftspec.paths import shared_folder
from ftspec.plan.llm import AdapterPlan
from ftspec.target.features import Device
from ftspec.target.load import load_targets
from ftspec.target.model import MemoryCosts
from tests.llm_facts import llm_facts
from tests.llm_plan import make_llm_plan
from tests.resolve.make import target as any_target

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LLAMA = llm_facts("llama-3.1-8b-instruct")
QWEN = llm_facts("qwen2.5-3b-instruct")
# The layer that was traced: 2 rows of 64 tokens, rank 8.
TRACED = replace(
    LLAMA,
    num_layers=1,
    hidden_size=256,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=40,
    intermediate_size=640,
)
LORA = AdapterPlan(type="lora", r=8, alpha=8, dropout=0.0, target_modules=ALL)
QV = replace(LORA, target_modules=("q_proj", "v_proj"))
DROPPED = replace(LORA, dropout=0.1)
DORA = replace(LORA, type="dora")
FULL = AdapterPlan(type="full")


def inputs(facts: Any = LLAMA, adapter: AdapterPlan = LORA, **changes: Any) -> DecoderInputs:
    trainable = (
        facts.total_parameters if adapter.type == "full" else (adapter.r or 0) * sum(facts.linear_widths.values())
    )  # fmt: skip
    return DecoderInputs(
        **{
            "facts": facts,
            "adapter": adapter,
            "rows": 2,
            "length": 64,
            "trainable_parameters": trainable,
            "malloc_tuned": True,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("adapter", "precision", "kernel", "traced"),
    [
        # bytes that one layer added to the saved tensors of a forward pass, per token, with a padding mask
        (LORA, "fp32", "sdpa", 19976),
        (LORA, "bf16", "sdpa", 13772 - 564),  # without the casts of the adapters, which are weights here
        (LORA, "fp32", "eager", 21736),
        (LORA, "bf16", "eager", 16044 - 564),
        (QV, "fp32", "sdpa", 16232),
        (QV, "bf16", "sdpa", 9786 - 122),
        (DROPPED, "fp32", "sdpa", 33288),
        (DROPPED, "bf16", "sdpa", 22732 - 564),
        (FULL, "fp32", "sdpa", 21800),
        (FULL, "bf16", "sdpa", 25384 - 10880),  # without the casts of the weights
        (DORA, "fp32", "sdpa", 65165),
        (DORA, "bf16", "sdpa", 36473 - 564),
    ],
)  # fmt: skip
def test_a_layer_keeps_what_torch_was_seen_to_keep(
    adapter: AdapterPlan, precision: str, kernel: str, traced: int
) -> None:
    given = inputs(TRACED, adapter, precision=precision, attn_implementation=kernel)
    tokens = given.rows * given.length
    kept = layer_bytes_per_token(given) + layer_constant_bytes(given) / tokens
    assert kept == pytest.approx(traced, rel=0.01)


def test_without_padding_keys_and_values_are_not_repeated() -> None:
    alone = layer_bytes_per_token(inputs(TRACED, rows=1))
    assert alone == pytest.approx(17800, rel=0.001)
    assert layer_bytes_per_token(inputs(TRACED, rows=1, packed=True)) > alone


def test_llama_with_all_heads_keeps_the_known_multiples_of_its_width() -> None:
    h = 4096
    plain = replace(LLAMA, num_key_value_heads=32)
    per_token = layer_bytes_per_token(inputs(plain, rows=1))
    assert per_token == pytest.approx(32 * h + 16 * plain.intermediate_size, rel=0.01)
    half = layer_bytes_per_token(inputs(plain, rows=1, precision="bf16"))
    assert half == pytest.approx(28 * h + 8 * plain.intermediate_size, rel=0.01)


# --- states ------------------------------------------------------------------------------------


def test_states_of_lora() -> None:
    """2·P_base + 16·P_lora, and the casts of the adapters."""
    given = inputs(precision="bf16", rows=1, length=1)
    estimate = decoder_training_memory(given)
    adapters = given.trainable_parameters
    assert adapters == 8 * sum(LLAMA.linear_widths.values())
    assert (
        estimate.weights_bytes + estimate.optimizer_bytes == 2 * LLAMA.total_parameters + (16 + 2) * adapters
    )


def test_states_of_qlora() -> None:
    """0.516 bytes for each parameter of a linear layer of a block, 2 for the others."""
    weights = base_weight_bytes(LLAMA, "bf16", 4, MemoryCosts())
    rest = LLAMA.total_parameters - LLAMA.linear_parameters
    assert weights == pytest.approx(0.516 * LLAMA.linear_parameters + 2 * rest, abs=1)
    everything = MemoryCosts(bytes_per_4bit_parameter=0.5625, quantizes_embeddings=True)
    assert base_weight_bytes(LLAMA, "fp16", 4, everything) == pytest.approx(
        0.5625 * LLAMA.total_parameters, rel=0.001
    )
    assert base_weight_bytes(QWEN, "fp16", 8, everything) == pytest.approx(
        1.004 * QWEN.total_parameters, rel=0.001
    )


def test_states_of_full_training() -> None:
    """16 bytes a parameter; under autocast 2 more for each that is multiplied."""
    plain = decoder_training_memory(inputs(QWEN, FULL, rows=1, length=1))
    assert plain.weights_bytes + plain.optimizer_bytes == 16 * QWEN.total_parameters
    casts = weight_bytes(inputs(QWEN, FULL, precision="bf16")) - 4 * QWEN.total_parameters
    assert casts == pytest.approx(2 * QWEN.total_parameters, rel=0.01)  # the output matrix is the embeddings


def test_processes_hold_gradients_twice() -> None:
    assert gradient_bytes(inputs(num_processes=8)) == 2 * gradient_bytes(inputs())


def test_adapters_on_the_last_layers_keep_activations_of_those_only() -> None:
    few = inputs(adapter=replace(LORA, layers=8))
    ends = activation_bytes(inputs(adapter=replace(LORA, layers=1)))
    assert activation_bytes(few) - ends == 7 * round(layer_bytes_per_token(few) * 128)


# --- loss and totals ---------------------------------------------------------------------------


def test_logits_cost_twelve_bytes_unless_the_loss_works_in_parts() -> None:
    assert loss_bytes(inputs(rows=4, length=100)) == 12 * 400 * LLAMA.vocab_size
    parts = MemoryCosts(loss_bytes_per_logit={Device.CUDA: 2}, loss_tokens=300, loss_vocabulary=1000)
    assert loss_bytes(inputs(rows=4, length=100, device="cuda", costs=parts)) == 2 * 300 * 1000
    assert loss_bytes(inputs(rows=4, length=100, costs=parts)) == 12 * 300 * 1000
    limited = MemoryCosts(loss_limit_bytes={Device.CUDA: 5000})
    assert loss_bytes(inputs(rows=4, length=100, device="cuda", costs=limited)) == 5000
    assert loss_bytes(inputs(rows=4, length=100, costs=limited)) == 12 * 400 * LLAMA.vocab_size
    head = 4 * QWEN.vocab_size * QWEN.hidden_size
    assert loss_bytes(inputs(QWEN, FULL, rows=1, length=1)) == 12 * QWEN.vocab_size + head


@pytest.mark.parametrize("adapter", [LORA, DORA, FULL])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_each_technique_saves(adapter: AdapterPlan, device: str) -> None:
    plain = inputs(QWEN, adapter, rows=8, length=1024, device=device, accumulates=True)
    peak = decoder_training_memory(plain).peak_bytes
    for change in (
        {"rows": 4},
        {"length": 512},
        {"gradient_checkpointing": True},
        {"precision": "bf16"},
        {"optim": "sgd"},
        {"costs": MemoryCosts(loss_tokens=64)},
    ):
        assert decoder_training_memory(replace(plain, **change)).peak_bytes < peak, change


def test_dora_keeps_identities_as_wide_as_its_inputs() -> None:
    """What makes DoRA on every layer of an 8B model need 19 GB more than LoRA."""
    more = layer_constant_bytes(inputs(adapter=DORA, precision="bf16")) * LLAMA.num_layers
    assert more == pytest.approx(2 * 32 * (6 * 4096**2 + 14336**2), rel=0.02)
    assert layer_constant_bytes(inputs(precision="bf16")) == 0


def test_a_small_step_needs_little_more_than_its_states() -> None:
    estimate = decoder_training_memory(inputs(QWEN, FULL, rows=1, length=1))
    assert estimate.activation_bytes == 0  # less than the gradients, which take the same place
    assert estimate.peak_bytes == 16 * QWEN.total_parameters + CPU_PROCESS_BYTES


@pytest.mark.parametrize(
    ("precision", "rows", "widths", "measured"),
    [
        ("fp32", 8, 31, 739_528_704),
        ("bf16", 8, 31, 1_526_374_400),
        # Rows of chance tokens in place of the example's, of as many different lengths as it takes.
        ("fp32", 8, 1, 726_761_472),
        ("bf16", 8, 1, 742_760_448),
        ("bf16", 8, 13, 1_101_844_480),
        ("bf16", 8, 28, 1_516_417_024),
        ("fp32", 1, 93, 574_418_944),
        ("bf16", 1, 1, 606_740_480),
        ("bf16", 1, 28, 1_230_442_496),
        ("bf16", 1, 93, 1_700_761_600),
    ],
)
def test_the_example_takes_what_it_was_measured_to_take(
    precision: str, rows: int, widths: int, measured: int
) -> None:
    """Resident peaks of the stage train of specs/llm-raft.yaml: 93 steps on one thread (torch 2.13)."""
    facts, _ = read_decoder_facts(shared_folder("specs") / "data" / "tiny-llm", id="tiny", origin="path")
    assert facts is not None
    adapter = AdapterPlan(type="lora", r=16, alpha=32, dropout=0.0, target_modules=facts.linear_modules)
    trl = next(target for target in load_targets()[0] if target.name == "trl")
    predicted = decoder_training_memory(
        DecoderInputs(
            facts=facts,
            adapter=adapter,
            rows=rows,
            length=476,
            trainable_parameters=16 * sum(facts.linear_widths.values()),
            precision=precision,
            widths=widths,
            costs=trl.memory,
        )
    )
    assert 0.95 * measured < predicted.peak_bytes < 1.3 * measured  # glibc keeps less of small runs


def test_compiled_kernels_are_kept_on_a_cpu_in_half_precision() -> None:
    costs = MemoryCosts(cpu_half_bytes_per_width=1000, cpu_half_widths=50)

    def more(**changes: Any) -> int:
        many, one = (inputs(QWEN, costs=costs, widths=widths, **changes) for widths in (70, 1))
        return decoder_training_memory(many).peak_bytes - decoder_training_memory(one).peak_bytes

    assert more(device="cpu", precision="bf16") == 49_000
    assert more(device="cpu", precision="fp32") == more(device="cuda", precision="bf16") == 0


# --- of a plan ---------------------------------------------------------------------------------


def test_widths_are_those_between_the_median_and_the_longest() -> None:
    plan = make_llm_plan(train={"total_steps": 500})
    lengths = replace(plan.data.facts.lengths, p50=100, max=160)
    facts = replace(plan.data.facts, lengths=lengths, sequence_lengths=lengths)
    plan = replace(plan, data=replace(plan.data, facts=facts))
    assert batch_widths(plan) == 61
    assert batch_widths(replace(plan, model=replace(plan.model, max_seq_length=120))) == 21
    assert batch_widths(replace(plan, train=replace(plan.train, total_steps=7))) == 7
    alone = replace(plan, execution=replace(plan.execution, per_device_train_batch_size=1))
    assert batch_widths(alone) == 160


def test_rows_are_as_long_as_the_data_or_the_limit_says() -> None:
    plan = make_llm_plan()
    longest = plan.data.facts.lengths.max
    assert decoder_inputs(plan, MemoryCosts()).length == longest
    short = make_llm_plan(model={"max_seq_length": longest - 1})
    assert decoder_inputs(short, MemoryCosts()).length == longest - 1
    packed = make_llm_plan(train={"packing": True})
    assert decoder_inputs(packed, MemoryCosts()).length == packed.model.max_seq_length


def test_what_is_merged_is_scored_unquantised() -> None:
    qlora = replace(LORA, type="qlora")
    model = {"facts": LLAMA, "quantization_bits": 4, "trainable_parameters": 1000}
    plan = make_llm_plan(model=model, adapter=qlora, export={"merge": True}, execution={"precision": "bf16"})
    merged = scoring_memory(plan, MemoryCosts(), 1)
    apart = scoring_memory(replace(plan, export=replace(plan.export, merge=False)), MemoryCosts(), 1)
    assert merged.weights_bytes == 2 * LLAMA.total_parameters
    assert apart.weights_bytes == base_weight_bytes(LLAMA, "bf16", 4, MemoryCosts()) + 4000


def test_scoring_grows_with_rows_and_with_answers() -> None:
    plan = make_llm_plan(model={"facts": QWEN}, evaluation={"generate_rows": 0})
    one, eight = (scoring_memory(plan, MemoryCosts(), rows).peak_bytes for rows in (1, 8))
    assert eight > one
    asked = make_llm_plan(model={"facts": QWEN}, evaluation={"generate_rows": 4, "max_new_tokens": 50_000})
    assert scoring_memory(asked, MemoryCosts(), 8).peak_bytes > eight


def test_given_held_out_rows_may_be_longer_than_those_of_training() -> None:
    plan = make_llm_plan(model={"facts": QWEN, "max_seq_length": 4096}, evaluation={"generate_rows": 0})
    short = replace(plan.data.facts.lengths, max=100)
    facts = replace(plan.data.facts, lengths=short, completion_lengths=short, longest_prompt=3000)
    split_off = replace(plan, data=replace(plan.data, facts=facts))
    given = replace(split_off, data=replace(split_off.data, evaluation=plan.data.train))
    assert (longest_scored_row(split_off), longest_scored_row(given)) == (100, 3100)
    least, most = (scoring_memory(each, MemoryCosts(), 1).activation_bytes for each in (split_off, given))
    assert most == 31 * least


def test_processes_that_share_a_limit_score_together() -> None:
    half = make_llm_plan().train.global_batch_size // 2
    two = {"num_processes": 2, "per_device_train_batch_size": half}
    alone = make_llm_plan()
    pair = make_llm_plan(execution=two)
    apart = make_llm_plan(execution={**two, "device": "cuda"})
    target = any_target("torchy")
    one = predict_scoring_peak(alone, 4, target)
    assert predict_scoring_peak(pair, 4, target) == 2 * one
    assert predict_scoring_peak(apart, 4, target) == scoring_memory(apart, target.memory, 4).peak_bytes
