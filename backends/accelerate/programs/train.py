"""Fine-tune the base model as config.json says; `folder` receives model/, curve.jsonl and info.json."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import checkpoints
import checks
import last_state
import loss_checks
import torch
from checkpoints import RunState
from data import SeededBatchSampler, Training, column_prompts, read_rows, training_data
from encode import encode_texts, write_json
from events import CheckFailedError, InterruptedRunError, StageEvents
from losses import build_loss
from memory import peak_bytes, start_peak
from models import add_lora, check_trainable, freeze, load_model, save_model
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from settings import Settings
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from validate import Validator
from watch import StopRequest

PROGRESS_SECONDS = 0.5


class Trainer(SentenceTransformerTrainer):
    """The library's trainer with the loss of every step at hand and checkpoints of plain weights."""

    step_loss = 0.0

    def add_model_card_callback(self, *args: Any) -> None:
        """The model card is written elsewhere, from the evidence."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        value = float(loss)
        loss_checks.check_number(value, self.state.global_step + 1)
        self.step_loss += value  # already divided by the micro-batches of the step
        return loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        checkpoints.save_weights(self.model, Path(str(output_dir or self.args.output_dir)))

    def _load_from_checkpoint(self, checkpoint_path: str, *args: Any) -> None:
        checkpoints.load_weights(self.model, Path(checkpoint_path))


class Follower(TrainerCallback):
    """Records, evaluates, saves, and stops the trainer; all of its memory is in `run`."""

    trainer: Trainer

    def __init__(
        self,
        run: RunState,
        settings: Settings,
        validator: Validator | None,
        events: StageEvents,
        stop: StopRequest,
    ) -> None:
        self.run = run
        self.settings = settings
        self.validator = validator
        self.events = events
        self.stop = stop
        self.last_progress = 0.0
        self.began = time.perf_counter() - run.seconds  # attempts before this one count

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # A checkpoint brings the intervals that it was made with.
        state.compute_steps(args, state.max_steps)  # type: ignore[no-untyped-call]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        run = self.run
        run.step = state.global_step
        run.losses.append(self.trainer.step_loss)
        self.trainer.step_loss = 0.0
        now = time.monotonic()
        if now - self.last_progress >= PROGRESS_SECONDS or run.step == state.max_steps:
            self.last_progress = now
            self.events.progress(run.step, state.max_steps, "steps")
        wishes = self.settings.validation
        if wishes is not None and run.step % wishes.eval_steps == 0:
            self._evaluate(state, control)
        if self.stop.asked:
            control.should_save = True
            control.should_training_stop = True

    def _evaluate(self, state: TrainerState, control: TrainerControl) -> None:
        run, wishes = self.run, self.settings.validation
        assert self.validator is not None
        assert wishes is not None
        values = self.validator.measure(self.trainer.model)
        value = values[wishes.metric]
        gain = value - run.best_value if run.best_value is not None else float("inf")
        if wishes.metric == "loss":
            gain = -gain if run.best_value is not None else gain
        if gain > (wishes.min_delta if run.best_value is not None else 0):
            run.best_step, run.best_value, run.evaluations_without_gain = run.step, value, 0
            if wishes.keep_best:
                root = Path(str(self.trainer.args.output_dir))
                checkpoints.save_weights(self.trainer.model, checkpoints.best_folder(root, run.step))
        else:
            run.evaluations_without_gain += 1
        run.curve.append({"step": run.step, "epoch": state.epoch, "eval": values})
        self.events.emit(
            "eval",
            step=run.step,
            epoch=state.epoch,
            metrics=values,
            metric=wishes.metric,
            best_step=run.best_step,
        )
        if wishes.patience is not None and run.evaluations_without_gain >= wishes.patience:
            run.stopped_early = True
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "learning_rate" not in logs:
            return  # the trainer's closing summary
        run = self.run
        logged = [point["step"] for point in run.curve if "loss" in point]
        window = run.losses[logged[-1] if logged else 0 :]
        point = {
            "step": run.step,
            "epoch": state.epoch,
            "loss": sum(window) / len(window),
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
        }
        run.curve.append(point)
        self.events.emit("log", total_steps=state.max_steps, **point)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        root = Path(str(args.output_dir))
        self.run.seconds = time.perf_counter() - self.began
        checkpoints.complete(root / f"checkpoint-{state.global_step}", self.run)
        checkpoints.prune(root, state.global_step, self.run.best_step)
        self.events.emit("checkpoint", step=state.global_step)


def run_train(
    root: Path, settings: Settings, folder: Path, *, events: StageEvents, stop: StopRequest
) -> None:
    """Train, judge, save. Resumes from the newest complete checkpoint below `folder`."""
    device = settings.machine.device
    start_peak(device)
    set_seed(settings.arguments["seed"])
    rows = read_rows(root / settings.data.folder / "train.jsonl")
    training = training_data(rows, settings.loss.objective, settings.data.roles, settings.data.num_negatives)
    model = load_model(root / settings.model.folder, settings.model, device=device)
    freeze(model, settings.model.freeze)
    adapter = None if settings.model.lora is None else add_lora(model, settings.model.lora)
    total, trainable = check_trainable(model, settings.model.trainable_parameters)

    saved = folder / "checkpoints"
    found = checkpoints.newest(saved, events)
    run = RunState() if found is None else found[1]
    resumed = None if found is None else run.step
    if found is not None:
        events.emit(
            "resumed", step=run.step, restored="weights, optimizer, schedule, data order, random state"
        )
    validator = None if settings.validation is None else Validator(root, settings)
    follower = Follower(run, settings, validator, events, stop)
    trainer = _build_trainer(model, training, settings, saved, follower)
    if found is not None and _is_done(run, settings):
        checkpoints.load_weights(model, found[0])
    else:
        trainer.train(resume_from_checkpoint=None if found is None else str(found[0]))
    run.seconds = time.perf_counter() - follower.began
    if stop.asked and not _is_done(run, settings):
        raise InterruptedRunError

    judged = {
        "rising_loss": loss_checks.judge_losses(run.losses, settings.checks.rising_loss, events),
    }
    if settings.validation is not None and settings.validation.keep_best and run.best_step is not None:
        checkpoints.load_weights(model, checkpoints.best_folder(saved, run.best_step))
    output = folder / "model"
    shutil.rmtree(output, ignore_errors=True)
    save_model(model, adapter, output, dtype=settings.export.dtype, merge_lora=settings.export.merge_lora)
    world_size = trainer.args.world_size
    del trainer, follower, model, adapter
    cosine = _spread(output, settings, training)
    judged["collapse"] = checks.judge_spread(
        cosine, settings.checks.max_mean_cosine, settings.checks.collapse, events
    )
    with (folder / "curve.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(point) + "\n" for point in run.curve)
    write_json(
        folder / "info.json",
        {
            "seconds": round(run.seconds, 3),
            "peak_memory_bytes": peak_bytes(device),
            "steps": run.step,
            "total_parameters": total,
            "trainable_parameters": trainable,
            "resumed_from_step": resumed,
            "world_size": world_size,
            "checks": {
                **judged,
                "mean_cosine": cosine,
                "loss_quarters": loss_checks.quarter_means(run.losses),
            },
            "best_step": run.best_step,
        },
    )
    last_state.clear(saved, run.step)


def _is_done(run: RunState, settings: Settings) -> bool:
    """By the steps of this plan: a checkpoint may be the last one of a shorter training."""
    return run.stopped_early or run.step >= int(settings.arguments["max_steps"])


def _build_trainer(
    model: Any, training: Training, settings: Settings, saved: Path, follower: Follower
) -> Trainer:
    wishes, prompts = settings.model, settings.model.prompts
    grouped = settings.loss.objective == "labelled_classes"
    args = SentenceTransformerTrainingArguments(
        output_dir=str(saved),
        prompts=column_prompts(training.columns, prompts.query, prompts.document) or None,
        batch_sampler=BatchSamplers.GROUP_BY_LABEL if grouped else SeededBatchSampler,
        **settings.arguments,
    )
    _check_machine(args, settings)
    loss = build_loss(model, settings.loss, similarity=wishes.similarity, judgements=training.judgements)
    trainer = Trainer(model=model, args=args, train_dataset=training.dataset, loss=loss, callbacks=[follower])
    trainer.remove_callback(PrinterCallback)  # the events say it
    follower.trainer = trainer
    return trainer


def _check_machine(args: Any, settings: Settings) -> None:
    """The run happens where it was planned: launchers fall back to one process in silence."""
    planned = settings.machine
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if not planned.num_processes == found == args.world_size:
        raise CheckFailedError(
            "FTS606",
            f"{args.world_size} processes train (launched: {found}), planned are {planned.num_processes}",
        )
    if args.device.type != planned.device:
        raise CheckFailedError("FTS606", f"training would run on {args.device}, planned is {planned.device}")
    if planned.num_processes == 1 and args.n_gpu > 1:
        args._n_gpu = 1  # or the trainer would spread the batch over every GPU that it sees


def _spread(output: Path, settings: Settings, training: Training) -> float:
    """Mean cosine of random documents of the training set, by the saved model."""
    column = "positive" if "positive" in training.columns else "query"
    texts = checks.sample_texts(training.dataset[column])
    model = load_model(output, settings.model, device=settings.machine.device)
    prompt = settings.model.prompts.query if column == "query" else settings.model.prompts.document
    embeddings = encode_texts(model, texts, prompt, batch_size=settings.encode.batch_size, normalize=True)
    return checks.mean_cosine(embeddings)
