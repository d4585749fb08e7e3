"""What every train section decides the same way: warmup, and the intervals of a run."""

import math

from ftspec.diagnostics import codes
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import AnyDesk
from ftspec.spec.optimisation import WARMUP_RATIO

EVALS_PER_RUN = 10
SAVES_PER_RUN = 4  # each writes three times the weights: ten took 4 % of a run of 32 steps
MAX_SAVE_STEPS = 200
LOGS_PER_RUN = 100


def resolve_cycles(desk: AnyDesk) -> int | None:
    if desk.spec.train.lr_scheduler_type != "cosine_with_restarts":
        return None
    return desk.spec.train.lr_num_cycles or 1


def resolve_warmup(desk: AnyDesk, total_steps: int) -> int:
    wish = desk.spec.train
    if wish.lr_scheduler_type == "constant":
        desk.decide(
            "train.warmup_steps",
            0,
            Reason.SCHEDULE_WITHOUT_WARMUP,
            by="resolve_train",
            facts={"lr_scheduler_type": wish.lr_scheduler_type},
            at=("train", "lr_scheduler_type"),
        )
        return 0
    if wish.warmup_steps is not None:
        if wish.warmup_steps >= total_steps:
            desk.fault(
                codes.BAD_VALUE,
                f"{wish.warmup_steps} warmup steps in a run of {total_steps} steps: "
                "the learning rate would never reach its peak",
                "train",
                "warmup_steps",
                help="use fewer, or `warmup_ratio`, which follows the length of the run",
            )
        return int(wish.warmup_steps)
    ratio = WARMUP_RATIO if wish.warmup_ratio is None else wish.warmup_ratio
    # The first step of a warmup has a learning rate of zero: one step at least must be left to learn.
    steps = min(math.ceil(total_steps * ratio - 1e-9), total_steps - 1)
    desk.decide(
        "train.warmup_steps",
        steps,
        Reason.RATIO_TIMES_STEPS,
        by="resolve_train",
        facts={"warmup_ratio": ratio, "total_steps": total_steps},
        at=("train", "warmup_ratio"),
    )
    return steps


def resolve_logging_steps(desk: AnyDesk, total_steps: int) -> int:
    wish: int | None = desk.spec.train.logging_steps
    if wish is not None:
        return wish
    steps = max(1, total_steps // LOGS_PER_RUN)
    decide_interval(desk, "logging_steps", steps, total_steps, LOGS_PER_RUN)
    return steps


def decide_interval(
    desk: AnyDesk, key: str, steps: int, total_steps: int, times: int, *, limit: int | None = None
) -> None:
    facts = {"total_steps": total_steps, "times_in_a_run": times}
    desk.decide(
        f"train.{key}",
        steps,
        Reason.SHARE_OF_RUN,
        by="resolve_train",
        facts=facts if limit is None else {**facts, "at_most": limit},
        at=("train", key),
    )


def plain_save_steps(desk: AnyDesk, total_steps: int) -> int:
    """Four times in a run, unless the spec says otherwise."""
    wish: int | None = desk.spec.train.save_steps
    if wish is not None:
        return wish
    steps = max(1, min(MAX_SAVE_STEPS, math.ceil(total_steps / SAVES_PER_RUN)))
    decide_interval(desk, "save_steps", steps, total_steps, SAVES_PER_RUN, limit=MAX_SAVE_STEPS)
    return steps


def planned_eval_steps(desk: AnyDesk, total_steps: int) -> int:
    """Ten times in a run, unless the spec says otherwise; there is a validation side."""
    wish: int | None = desk.spec.train.eval_steps
    if wish is None:
        steps = max(1, math.ceil(total_steps / EVALS_PER_RUN))
        decide_interval(desk, "eval_steps", steps, total_steps, EVALS_PER_RUN)
        return steps
    if wish > total_steps:
        desk.fault(
            codes.BAD_VALUE,
            f"an evaluation every {wish} steps in a run of {total_steps} steps: there would be none",
            "train",
            "eval_steps",
            help=f"use at most {total_steps}, or leave it away: ten times in a run",
        )
    return wish
