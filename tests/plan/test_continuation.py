"""Resume, extend, warm start: decided from the whole learning-rate curve, the data and the optimizer."""

import math
from dataclasses import replace
from typing import Any

import pytest

from ftspec.plan.codec import digest
from ftspec.plan.continuation import (
    Form,
    Obstacle,
    continuation,
    extendable,
    learning_rate,
    same_weights,
)
from ftspec.plan.embedding import EarlyStopping, EmbeddingPlan
from tests.embedding_plan import complete_plan

SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def _plan(**train: Any) -> EmbeddingPlan:
    plan = complete_plan()
    given = {
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "keep_best": False,
        "early_stopping": None,
        **train,
    }
    return replace(plan, train=replace(plan.train, **given))


def _obstacles(old: EmbeddingPlan, new: EmbeddingPlan) -> set[Obstacle]:
    return {each.obstacle for each in continuation(old, new).refused}


def test_the_same_training_resumes() -> None:
    plan = _plan()
    assert continuation(plan, plan).form is Form.RESUME
    other = replace(plan, train=replace(plan.train, save_steps=7, logging_steps=3))
    assert digest(plan) != digest(other)
    assert continuation(plan, other).form is Form.RESUME
    assert same_weights(plan, other)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 4])
def test_only_a_curve_that_is_a_prefix_can_be_extended(schedule: str, warmup: int) -> None:
    short = _plan(
        num_train_epochs=2.0, total_steps=20, lr_scheduler_type=schedule, warmup_steps=warmup, lr_num_cycles=2
    )
    long = replace(short, train=replace(short.train, num_train_epochs=4.0, total_steps=40))
    found = continuation(short, long)
    if schedule.startswith("constant"):
        assert (found.form, found.steps) == (Form.EXTEND, (20, 40))
        assert _obstacles(long, short) == {Obstacle.SHORTER}
    else:
        assert found.form is Form.NONE
        assert {each.obstacle for each in found.refused} == {Obstacle.CURVE}
        assert Obstacle.SHORTER in _obstacles(long, short)


def test_a_longer_warmup_is_another_curve() -> None:
    short = _plan(
        total_steps=20, num_train_epochs=2.0, lr_scheduler_type="constant_with_warmup", warmup_steps=2
    )
    long = replace(short, train=replace(short.train, num_train_epochs=4.0, total_steps=40, warmup_steps=4))
    (refusal,) = continuation(short, long).refused
    assert (refusal.obstacle, refusal.field) == (Obstacle.CURVE, "step 2")


@pytest.mark.parametrize("warmup", [19, 20])
def test_the_rate_that_a_state_holds_for_the_next_step_counts(warmup: int) -> None:
    """A scheduler sets it when the step before is done, by the formula of the shorter training."""
    short = _plan(total_steps=20, lr_scheduler_type="linear", warmup_steps=warmup)
    long = replace(
        short, train=replace(short.train, total_steps=30, lr_scheduler_type="constant_with_warmup")
    )
    (refusal,) = continuation(short, long).refused
    assert (refusal.obstacle, refusal.field, refusal.old) == (Obstacle.CURVE, "step 21", 0.0)
    assert not extendable(short)
    assert extendable(long)
    assert extendable(replace(short, train=replace(short.train, warmup_steps=21))), "it rises on"


def test_epochs_may_become_steps() -> None:
    short = _plan(num_train_epochs=2.0, total_steps=20)
    long = replace(short, train=replace(short.train, num_train_epochs=None, total_steps=30, eval_steps=9))
    assert continuation(short, long).form is Form.EXTEND


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"seed": 1234}, Obstacle.ORDER),
        ({"global_batch_size": 64}, Obstacle.BATCH),
        ({"optim": "sgd"}, Obstacle.OPTIMIZER),
        ({"weight_decay": 0.1}, Obstacle.OPTIMIZER),
        ({"learning_rate": 1.0}, Obstacle.CURVE),
        ({"keep_best": True}, Obstacle.CHECKPOINT),
        ({"early_stopping": EarlyStopping(metric="loss", patience=2, min_delta=0.0)}, Obstacle.CHECKPOINT),
    ],
    ids=lambda each: str(each)[:24],
)
def test_what_refuses_an_extension(change: dict[str, Any], obstacle: Obstacle) -> None:
    short = _plan(num_train_epochs=2.0, total_steps=20)
    long = replace(
        short, train=replace(short.train, **{"num_train_epochs": 4.0, "total_steps": 40, **change})
    )
    assert obstacle in _obstacles(short, long)


def test_other_data_models_and_backends_refuse_it() -> None:
    short = _plan(num_train_epochs=2.0, total_steps=20)
    long = replace(short, train=replace(short.train, num_train_epochs=4.0, total_steps=40))
    source = replace(long.data.facts.sources[0], digest="sha256:" + "1" * 64)
    sources = (source, *long.data.facts.sources[1:])
    data = replace(long.data, facts=replace(long.data.facts, sources=sources))
    assert _obstacles(short, replace(long, data=data)) == {Obstacle.DATA}
    model = replace(long.model, facts=replace(long.model.facts, digest="sha256:" + "2" * 64))
    assert _obstacles(short, replace(long, model=model)) == {Obstacle.MODEL}
    execution = replace(long.execution, precision="bf16", backend="other")
    assert _obstacles(short, replace(long, execution=execution)) == {Obstacle.BACKEND}


@pytest.mark.parametrize("warmup", [5, 29, 30])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_curves_are_those_of_transformers(schedule: str, warmup: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    train = _plan(total_steps=30, warmup_steps=0 if schedule == "constant" else warmup, lr_scheduler_type=schedule,
                  lr_num_cycles=2, learning_rate=1e-3).train  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler = transformers.get_scheduler(
        schedule,
        optimizer,
        num_warmup_steps=train.warmup_steps,
        num_training_steps=30,
        scheduler_specific_kwargs={"num_cycles": 2} if schedule == "cosine_with_restarts" else {},
    )
    if schedule == "polynomial" and warmup == 30:
        return  # after its last step, transformers divides by zero
    for step in range(31):
        assert math.isclose(
            learning_rate(train, step), scheduler.get_last_lr()[0], rel_tol=1e-9, abs_tol=1e-15
        ), step
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("change", [{}, {"total_steps": 5_000_001}, {"warmup_steps": 1_000_001}])
def test_curves_of_millions_of_steps_are_compared_by_few(
    monkeypatch: pytest.MonkeyPatch, schedule: str, change: dict[str, Any]
) -> None:
    asked: list[int] = []

    def counted(train: Any, step: int) -> float:
        asked.append(step)
        return learning_rate(train, step)

    monkeypatch.setattr("ftspec.plan.continuation.learning_rate", counted)
    short = _plan(
        total_steps=5_000_000,
        num_train_epochs=2.0,
        warmup_steps=1_000_000,
        lr_scheduler_type=schedule,
        lr_num_cycles=1,
    )
    same = {**change, "num_train_epochs": 3.0, "save_steps": 7}
    if schedule == "cosine_with_restarts":
        same["lr_scheduler_type"] = "cosine"  # of one cycle, it is that
    found = continuation(short, replace(short, train=replace(short.train, **same)))
    assert len(asked) < 40_000
    is_other = ("total_steps" in change and not schedule.startswith("constant")) or (
        "warmup_steps" in change and schedule != "constant"
    )
    assert (Obstacle.CURVE in {each.obstacle for each in found.refused}) == is_other
