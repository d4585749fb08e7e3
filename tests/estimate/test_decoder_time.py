"""Operations and seconds of LLM runs: what they grow with, and what is a guess."""

from dataclasses import replace
from typing import Any

import pytest

from ftspec.driver.calibrate import llm_rates
from ftspec.estimate.decoder_time import (
    UNCALIBRATED_FACTOR,
    estimate_decoder_time,
    forward_flops_per_token,
    score_flops,
    train_flops,
    training_passes,
)
from ftspec.estimate.time import Calibration, TimeEstimate
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.target.model import MemoryCosts
from tests.llm_facts import llm_facts
from tests.llm_plan import make_llm_plan
from tests.resolve.make import gpu, hardware

QWEN, LLAMA = llm_facts("qwen2.5-3b-instruct"), llm_facts("llama-3.1-8b-instruct")
FULL = AdapterPlan(type="full")
GPU = hardware(gpu(memory_gib=40, memory_gb_per_second=300.0))


def plan(**changes: Any) -> LlmPlan:
    return make_llm_plan(**{"model": {"facts": QWEN}, **changes})


def seconds(made: LlmPlan, **options: Any) -> TimeEstimate:
    return estimate_decoder_time(made, GPU, MemoryCosts(), **options)


def on_gpu(**changes: Any) -> LlmPlan:
    execution = {"device": "cuda", "precision": "bf16", **changes.pop("execution", {})}
    return plan(execution=execution, **changes)


def test_the_output_matrix_is_multiplied_whether_tied_or_not() -> None:
    for facts in (QWEN, LLAMA):
        multiplied = facts.linear_parameters + facts.vocab_size * facts.hidden_size
        assert forward_flops_per_token(facts, 0) == pytest.approx(2 * multiplied, rel=0.001)
    more = forward_flops_per_token(LLAMA, 1000) - forward_flops_per_token(LLAMA, 0)
    assert more == 4 * 32 * 1000 * 4096


def test_passes_of_a_step() -> None:
    adapter = plan().adapter
    assert training_passes(plan()) == 2  # frozen weights have no gradients
    assert training_passes(plan(adapter=FULL)) == 3
    assert training_passes(plan(adapter=FULL, execution={"gradient_checkpointing": True})) == 4
    half = replace(adapter, layers=QWEN.num_layers // 2)
    assert training_passes(plan(adapter=half)) == 1.5
    assert training_passes(plan(adapter=half, execution={"gradient_checkpointing": True})) == 2


def test_operations_follow_padded_rows() -> None:
    made = plan()
    padded = made.data.facts.lengths.padded_mean
    rows = made.train.total_steps * made.train.global_batch_size
    assert train_flops(made) == pytest.approx(2 * rows * padded * forward_flops_per_token(QWEN, padded))
    packed = plan(train={"packing": True})
    assert train_flops(packed) > train_flops(made)
    assert score_flops(made) < train_flops(made)


def test_an_uncalibrated_time_says_so() -> None:
    guess = seconds(on_gpu())
    assert (guess.factor, guess.calibrated) == (UNCALIBRATED_FACTOR, False)
    assert guess.wall_seconds == pytest.approx(sum(guess.stage_seconds.values()), abs=0.1)
    known = seconds(on_gpu(), calibration=Calibration(train_flops_per_second=1e9))
    assert known.calibrated
    assert known.factor < guess.factor
    assert known.stage_seconds["train"] > guess.stage_seconds["train"]


def test_what_takes_longer() -> None:
    base = seconds(on_gpu()).stage_seconds
    assert seconds(on_gpu(model={"facts": LLAMA})).stage_seconds["train"] > base["train"]
    asked = seconds(on_gpu(evaluation={"generate_rows": 30, "max_new_tokens": 500})).stage_seconds
    assert asked["score_tuned"] > base["score_tuned"]
    assert asked["train"] == base["train"]
    slow = estimate_decoder_time(plan(), hardware(), MemoryCosts()).stage_seconds
    assert slow["train"] > base["train"]


def test_processes_share_the_steps() -> None:
    steps = {"total_steps": 1_000_000}
    one = seconds(on_gpu(train=steps)).stage_seconds["train"]
    four = on_gpu(train=steps, execution={"num_processes": 4, "per_device_train_batch_size": 2})
    assert seconds(four).stage_seconds["train"] == pytest.approx(one / 4, rel=0.1)


def test_the_start_of_a_short_run_is_not_read_as_work() -> None:
    """A run of seconds whose stages are mostly imports: the next prediction holds it in its interval."""
    short = on_gpu(
        train={"total_steps": 10}, evaluation={"generate_rows": 8}, execution={"score_batch_size": 8}
    )
    tokens = short.data.facts.test_tokens
    scored = {"seconds": 3.0, "tokens_per_second": tokens / 0.5}
    reports = {"score_base": scored, "train": {"seconds": 2.0}, "score_tuned": scored}
    measured = {"score_base": 11.0, "train": 10.0, "score_tuned": 11.0}
    rates = llm_rates(short, measured, reports)
    assert rates is not None
    assert rates.start_seconds == pytest.approx(24)
    again = seconds(short, calibration=rates)
    assert again.stage_seconds["train"] == pytest.approx(2, abs=0.1)
    total = sum(measured.values())
    assert total / again.factor < again.wall_seconds < total * again.factor
    longer = on_gpu(
        train={"total_steps": 100}, evaluation={"generate_rows": 8}, execution={"score_batch_size": 8}
    )
    assert seconds(longer, calibration=rates).stage_seconds["train"] == pytest.approx(20, abs=1)


def test_what_cannot_be_told_from_its_start_calibrates_nothing() -> None:
    made = on_gpu()
    assert llm_rates(made, {"train": 8.0}, {}) is None
    rates = llm_rates(made, {"train": 110.0}, {})
    assert rates is not None
    assert rates.train_flops_per_second == pytest.approx(train_flops(made) / 100)
    assert rates.start_seconds is None
