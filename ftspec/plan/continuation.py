"""Resume, extend, warm start: three different things, decided from two plans.

Resume: nothing that decides the weights differs, so an unfinished run goes on to the same end. Extend: a longer
training of which the old one is a prefix, step by step. Warm start: a new training from weights of an earlier
one, which the user asks for by naming a registered model as the base; nothing of the old training's schedule,
optimizer or data position is kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ftspec.plan.codec import hash_of
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Extension, Plan, TrainPlan
from ftspec.plan.stages import stage_documents

STORE = "store"  # where a base that is a registered model of this project comes from


class Form(StrEnum):
    RESUME = "resume"
    EXTEND = "extend"
    WARM_START = "warm-start"
    NONE = "none"  # training starts anew


class Obstacle(StrEnum):
    """Why a training cannot be extended."""

    KIND = "kind"  # another kind of model
    CURVE = "curve"  # the learning rate differs at a step that both trainings take
    SHORTER = "shorter"  # the new training ends before the old one
    MODEL = "model"  # other weights to start from, or other parts of them are trained
    ORDER = "order"  # the seed: another order of rows, other dropout
    BATCH = "batch"  # the effective batch
    OPTIMIZER = "optimizer"
    DATA = "data"
    OBJECTIVE = "objective"  # another loss
    CHECKPOINT = "checkpoint"  # what was kept is not the last state: a checkpoint was chosen, or training stopped early
    BACKEND = "backend"  # states of optimizers are not exchanged between backends or precisions
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    obstacle: Obstacle
    field: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """The registered model that a plan starts from."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """`form` is the best that can be had. `refused`: why the new training is no extension of the old one.
    `extends`: what `apply` of the new plan goes on from, as the store is now."""

    form: Form
    refused: tuple[Refusal, ...] = ()
    warm_start: WarmStart | None = None
    steps: tuple[int, int] | None = None  # of the old training and of the new one
    extends: Extension | None = None


# Decided by the length of a run, or judged by the curve itself.
_OF_LENGTH = ("num_train_epochs", "total_steps", "warmup_steps", "lr_scheduler_type", "lr_num_cycles",
              "learning_rate", "eval_steps")  # fmt: skip
_OBSTACLES = {
    "train.seed": Obstacle.ORDER,
    "train.global_batch_size": Obstacle.BATCH,
    "train.optim": Obstacle.OPTIMIZER,
    "train.weight_decay": Obstacle.OPTIMIZER,
    "train.max_grad_norm": Obstacle.OPTIMIZER,
    "train.objective": Obstacle.OBJECTIVE,
    "train.matryoshka": Obstacle.OBJECTIVE,
    "train.train_on": Obstacle.OBJECTIVE,
    "train.roles": Obstacle.OBJECTIVE,
    "train.packing": Obstacle.DATA,
    "train.too_long": Obstacle.DATA,
    "train.early_stopping": Obstacle.CHECKPOINT,
    "train.keep_best": Obstacle.CHECKPOINT,
    "model": Obstacle.MODEL,
    "adapter": Obstacle.MODEL,
    "base_digest": Obstacle.MODEL,
    "data": Obstacle.DATA,
    "train_digests": Obstacle.DATA,
    "tokenizer_digest": Obstacle.DATA,
    "render": Obstacle.DATA,
    "evaluation": Obstacle.DATA,
    "validation_limit": Obstacle.CHECKPOINT,
    "best_by": Obstacle.CHECKPOINT,
}


def weights_document(plan: Plan) -> dict[str, Any]:
    """All that decides the weights: the input of training, without how they are written and judged."""
    document = stage_documents(plan)["train"]
    return {name: value for name, value in document.items() if name not in ("export", "checks")}


def same_weights(old: Plan, new: Plan) -> bool:
    return hash_of(weights_document(old)) == hash_of(weights_document(new))


def warm_start_of(plan: Plan) -> WarmStart | None:
    """The registered model that training starts from; None where the base is no model of this project."""
    facts = plan.model.facts
    if facts.origin != STORE:
        return None
    version = facts.location.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return WarmStart(name=plan.model.base, version=version)


def continuation(old: Plan, new: Plan) -> Continuation:
    """What can be kept of the training of `old` when `new` is what is wanted."""
    steps = (old.train.total_steps, new.train.total_steps)
    started = warm_start_of(new)
    if same_weights(old, new):
        return Continuation(form=Form.RESUME, warm_start=started, steps=steps, extends=new.extends)
    refused = tuple(_refusals(old, new))
    if not refused:
        return Continuation(form=Form.EXTEND, warm_start=started, steps=steps, extends=new.extends)
    changed_base = old.model.facts.digest != new.model.facts.digest
    form = Form.WARM_START if started is not None and changed_base else Form.NONE
    return Continuation(form=form, refused=refused, warm_start=started, steps=steps, extends=new.extends)


def extendable(plan: Plan) -> bool:
    """Whether a longer training can begin like this one at all: then its last state is worth keeping."""
    steps = plan.train.total_steps
    longer = replace(plan.train, total_steps=steps + 1)
    return not any(_kept(plan)) and learning_rate(plan.train, steps) == learning_rate(longer, steps)


def _refusals(old: Plan, new: Plan) -> Iterator[Refusal]:
    if old.kind != new.kind:
        yield Refusal(obstacle=Obstacle.KIND, field="kind", old=old.kind, new=new.kind)
        return
    before, after = _flat(old), _flat(new)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield Refusal(obstacle=_obstacle(path), field=path, old=before.get(path), new=after.get(path))
    if new.train.total_steps < old.train.total_steps:
        yield Refusal(
            obstacle=Obstacle.SHORTER,
            field="train.total_steps",
            old=old.train.total_steps,
            new=new.train.total_steps,
        )
    yield from _curve(old.train, new.train)
    yield from _kept(new)
    for name in ("backend", "precision"):
        one, other = getattr(old.execution, name), getattr(new.execution, name)
        if one != other:
            yield Refusal(obstacle=Obstacle.BACKEND, field=f"execution.{name}", old=one, new=other)


def _curve(old: TrainPlan, new: TrainPlan) -> Iterator[Refusal]:
    """The first step at which the learning rates differ. Curves of one formula are not computed, nor is a rise
    that both share; any others part within thousands of steps, however long they are.

    The step after the last one of `old` counts where `new` takes it: a state holds its rate already."""
    if _formula(old) == _formula(new):
        return
    rise = (old.learning_rate, old.warmup_steps)
    shared = old.warmup_steps if rise == (new.learning_rate, new.warmup_steps) and _rises(old, new) else 0
    for step in range(shared, min(old.total_steps + 1, new.total_steps)):
        one, other = learning_rate(old, step), learning_rate(new, step)
        if not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-18):
            yield Refusal(obstacle=Obstacle.CURVE, field=f"step {step + 1}", old=one, new=other)
            return


def _rises(*trains: TrainPlan) -> bool:
    return all(train.lr_scheduler_type != "constant" for train in trains)


def _formula(train: TrainPlan) -> tuple[object, ...]:
    """What `learning_rate` reads of a schedule."""
    peak, warmup, name = train.learning_rate, train.warmup_steps, train.lr_scheduler_type
    if name == "constant" or (name == "constant_with_warmup" and warmup == 0):
        return ("constant", peak)
    if name == "constant_with_warmup":
        return (name, peak, warmup)
    cycles = (train.lr_num_cycles or 1) if name == "cosine_with_restarts" else 1
    if cycles == 1 and name == "cosine_with_restarts":
        name = "cosine"
    return (name, peak, warmup, train.total_steps, cycles)


def _kept(new: Plan) -> Iterator[Refusal]:
    if isinstance(new, EmbeddingPlan):
        if new.train.keep_best:
            yield Refusal(obstacle=Obstacle.CHECKPOINT, field="train.keep_best", new=True)
        if new.train.early_stopping is not None:
            yield Refusal(
                obstacle=Obstacle.CHECKPOINT,
                field="train.early_stopping",
                new=new.train.early_stopping.metric,
            )


def _flat(plan: Plan) -> dict[str, Any]:
    """What decides the weights besides length and learning rate, by dotted path."""
    document = weights_document(plan)
    semantic = document.pop("semantic")
    train = {name: value for name, value in semantic["train"].items() if name not in _OF_LENGTH}
    flat: dict[str, Any] = {}
    _flatten({**semantic, "train": train, "evaluation": document["evaluation"]}, "", flat)
    return flat


def _flatten(value: Any, path: str, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            _flatten(item, f"{path}.{name}" if path else name, flat)
    else:
        flat[path] = value


def _obstacle(path: str) -> Obstacle:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        known = _OBSTACLES.get(".".join(parts[:length]))
        if known is not None:
            return known
    return Obstacle.OTHER


def learning_rate(train: TrainPlan, step: int) -> float:
    """At optimizer step `step`, counted from 0, as the schedules of transformers compute it; also at the one
    after the last. A polynomial falls linearly (power 1) to 1e-7."""
    peak, warmup, total = train.learning_rate, train.warmup_steps, train.total_steps
    name = train.lr_scheduler_type
    if name == "constant":
        return peak
    if step < warmup:
        return peak * step / max(1, warmup)
    if name == "constant_with_warmup":
        return peak
    if name == "polynomial":
        end = min(1e-7, peak)
        left = 1 - (step - warmup) / max(1, total - warmup)
        return end if step > total else (peak - end) * left + end
    progress = (step - warmup) / max(1, total - warmup)
    if name == "linear":
        return 0.0 if step >= total else peak * (1 - progress)
    if name == "cosine_with_restarts":
        if progress >= 1:
            return 0.0
        return peak * max(0.0, 0.5 * (1 + math.cos(math.pi * ((train.lr_num_cycles or 1) * progress % 1))))
    assert name == "cosine", name
    return peak * max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))
