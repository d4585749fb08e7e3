"""What LLM programs put into a transformers trainer: order, record, checkpoints, requests to stop."""

from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any

import llm_checkpoints
import torch
from events import StageEvents
from llm_follow import Follower
from llm_rows import TokenRow, by_length
from llm_settings import Settings
from llm_torch import row_losses
from ranks import Ranks
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from watch import StopRequest

WEIGHTS = "weights.safetensors"


class FixedOrder(Sampler[int]):
    """Row numbers as the plan's seed has put them, all epochs in one list."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def _trained(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: item for name, item in model.named_parameters() if item.requires_grad}


class PlannedTrainer:
    """To be mixed in before a trainer class, which it gives the order and small checkpoints.

    `order` is set after construction. A checkpoint holds the trained parameters alone: the base does not
    move. Requires args.save_strategy "no" and args.logging_steps 1; `Record` decides when to save.
    """

    order: Sequence[int] = ()
    model: Any
    args: Any

    def _get_train_sampler(self, train_dataset: Sized | None = None) -> FixedOrder:
        del train_dataset
        return FixedOrder(self.order)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        folder = Path(str(output_dir or self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: item.detach().contiguous() for name, item in _trained(self.model).items()},
            folder / WEIGHTS,
            metadata={"format": "pt"},
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model if model is None else model, Path(resume_from_checkpoint))

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """The card is written elsewhere, from the evidence."""


def load_weights(model: nn.Module, folder: Path) -> None:
    """The trained parameters of a checkpoint, into a model that trains the same ones."""
    found, wanted = load_file(folder / WEIGHTS), _trained(model)
    assert found.keys() == wanted.keys(), "the checkpoint is of another model"
    with torch.no_grad():
        for name, item in wanted.items():
            item.copy_(found[name])


class Record(TrainerCallback):
    """Tells the follower of each step, validates, saves and stops as planned.

    The trainer calls `on_log` at every step (logging_steps 1), after it has averaged the step's loss over
    its processes, and before it asks whether to save.
    """

    trainer: Any

    def __init__(
        self,
        follower: Follower,
        settings: Settings,
        events: StageEvents,
        stop: StopRequest,
        ranks: Ranks,
        validate: Callable[[Any], float] | None,
    ) -> None:
        self.follower = follower
        self.settings = settings
        self.events = events
        self.stop = stop
        self.ranks = ranks
        self.validate = validate
        self.stopped = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        state.log_history.clear()  # the follower has it
        if not logs or "loss" not in logs or "learning_rate" not in logs:
            return  # the trainer's closing summary
        follower = self.follower
        follower.step(float(logs["loss"]), float(logs["learning_rate"]), logs.get("grad_norm"))
        assert follower.run.step == state.global_step
        if self.validate is not None and follower.wants_validation:
            follower.validated(self.validate(self.trainer.model))
        asked = float(self.ranks.total(torch.tensor([float(self.stop.asked)]))) > 0
        if follower.wants_checkpoint or asked:
            control.should_save = True
        if asked:
            self.stopped = True
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.ranks.wait()  # each process has saved the state of its random numbers
        if self.ranks.rank == 0:
            root = Path(str(args.output_dir))
            self.follower.stop_clock()
            llm_checkpoints.complete(root / f"checkpoint-{state.global_step}", self.follower.run)
            llm_checkpoints.prune(root, state.global_step)
        self.events.emit("checkpoint", step=state.global_step)


def validator(
    rows: Sequence[TokenRow], settings: Settings, *, filler: int, device: str, ranks: Ranks, autocast: Any
) -> Callable[[Any], float]:
    """A function from the model in training to its nats a token over `rows`, which the processes share.

    `autocast` makes the context of the training's arithmetic.
    """
    batches = list(by_length(rows, settings.score.batch_size))[ranks.rank :: ranks.size]

    def measure(model: Any) -> float:
        was_training = model.training
        model.eval()
        nll, tokens = 0.0, 0
        with autocast():
            for numbers in batches:
                for loss, count in row_losses(
                    model, [rows[number] for number in numbers], filler=filler, device=device
                ):
                    nll, tokens = nll + loss, tokens + count
        model.train(was_training)
        total = ranks.total(torch.tensor([nll, float(tokens)], dtype=torch.float64))
        return float(total[0] / total[1])

    return measure
