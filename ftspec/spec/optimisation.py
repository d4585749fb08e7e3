"""What every `train` section has. Machine settings are decided by the plan instead."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section

WARMUP_RATIO = 0.1  # where the spec names neither a ratio nor steps

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Optimisation(Section):
    """Duration, learning rate and optimizer."""

    num_train_epochs: Positive | None = None
    """Passes over the training rows; default 1."""
    max_steps: Count | None = None
    """Optimizer steps, instead of epochs."""
    lr_scheduler_type: Literal[
        "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
    ] = "linear"
    """Course of the learning rate after warmup."""
    lr_num_cycles: Count | None = None
    """Restarts of `cosine_with_restarts`; default 1."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps in which the learning rate rises; default 0.1."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps in which the learning rate rises, instead of a share."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Positive = 1.0
    """Gradients with a larger norm are scaled down to it."""
    optim: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """Optimizer."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Seed of shuffling, dropout and new weights."""
    eval_steps: Count | None = None
    """Steps between evaluations on the validation split; default: ten times in a run."""
    save_steps: Count | None = None
    """Steps between checkpoints; default: four times in a run, and at least every 200 steps."""
    logging_steps: Count | None = None
    """Steps between points of the loss curve; default: a hundred points in a run."""
