"""Train as config.json says; `folder` receives adapter/, model/, curve.jsonl and info.json."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llm_checkpoints as checkpoints
import mlx.core as mx
import numpy as np
import parity
from adapters import KeyedDropout, add_adapter, check_trainable, count, merged_weights, save_adapter
from batches import Micro, check_tokens, training_loss, vocabulary_of
from events import InterruptedRunError, StageEvents
from llm_follow import Follower, write_curve, write_json
from llm_rows import TokenRow, read_token_rows
from llm_settings import Settings
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import train
from native import ClippedOptimizer, build_optimizer, training_args
from order import training_order
from score import load_base, load_shipped, peak_memory, row_losses, start_memory
from watch import StopRequest
from weights import DTYPES, Loaded, check_layout, quantize, save, settle

WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


class TrainedError(Exception):
    """Leaves mlx_lm's trainer after the last step, before it writes the weights once more."""


class Callback(TrainingCallback):  # type: ignore[misc]
    """Called after every optimizer step: records it, validates, saves, and stops the trainer."""

    def __init__(
        self,
        loaded: Loaded,
        optimizer: ClippedOptimizer,
        follower: Follower,
        validation: Sequence[TokenRow],
        saved: Path,
        stop: StopRequest,
    ) -> None:
        self.loaded, self.optimizer, self.follower = loaded, optimizer, follower
        self.validation, self.saved, self.stop = validation, saved, stop

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        follower, run = self.follower, self.follower.run
        total = follower.settings.train.total_steps
        follower.step(train_info["train_loss"], train_info["learning_rate"], self.optimizer.grad_norm)
        if follower.wants_validation and self.validation:
            follower.validated(self._validate())
        if follower.wants_checkpoint or self.stop.asked:
            self._save()
        if run.step >= total:
            raise TrainedError
        if self.stop.asked:
            raise InterruptedRunError

    def _validate(self) -> float:
        model = self.loaded.model
        model.eval()
        losses = row_losses(model, self.validation, self.follower.settings.score.batch_size)
        model.train()
        return sum(losses) / sum(sum(row.mask) for row in self.validation)

    def _save(self) -> None:
        follower = self.follower
        follower.stop_clock()
        folder = self.saved / f"checkpoint-{follower.run.step}"
        save_state(self.loaded.model, self.optimizer, folder)
        checkpoints.complete(folder, follower.run)
        checkpoints.prune(self.saved, follower.run.step)
        follower.events.emit("checkpoint", step=follower.run.step)


def save_state(model: Any, optimizer: ClippedOptimizer, folder: Path) -> None:
    """All that the next step depends on; the order and the dropout masks follow from the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / WEIGHTS), dict(tree_flatten(model.trainable_parameters())))
    mx.save_safetensors(str(folder / OPTIMIZER), dict(tree_flatten(optimizer.state)))


def load_state(model: Any, optimizer: ClippedOptimizer, folder: Path) -> None:
    state: Any = mx.load(str(folder / OPTIMIZER))
    model.load_weights(str(folder / WEIGHTS), strict=False)
    optimizer.state = tree_unflatten(list(state.items()))
    optimizer.init(model.trainable_parameters())
    mx.eval(model.parameters(), optimizer.state)


def run_train(
    root: Path, settings: Settings, folder: Path, *, events: StageEvents, stop: StopRequest
) -> None:
    """Train, judge, save. Goes on from the newest complete checkpoint below `folder`."""
    start_memory(settings)
    length, machine = settings.model.max_seq_length, settings.machine
    rows = read_token_rows(root / settings.data.folder / "train.jsonl", length)
    held_out = root / settings.data.folder / "validation.jsonl"
    validation = read_token_rows(held_out, length) if held_out.exists() else []
    made = prepare(root, settings)
    loaded, config = made.loaded, made.config
    check_tokens([*rows, *validation], vocabulary_of(loaded.model, loaded.config))
    optimizer = build_optimizer(settings.train, master=config is None and machine.precision != "fp32")
    optimizer.init(loaded.model.trainable_parameters())
    mx.eval(optimizer.state)
    if config is None:
        loaded.model.set_dtype(DTYPES[machine.precision])

    saved = folder / "checkpoints"
    found = checkpoints.newest(saved, events)
    run = checkpoints.RunState() if found is None else found[1]
    resumed = None if found is None else run.step
    if found is not None:
        load_state(loaded.model, optimizer, found[0])
        events.emit("resumed", step=run.step, restored="weights, optimizer, schedule, data order, dropout")
    checkpoints.prune(saved, resumed)
    follower = Follower(run, settings, len(rows), events)
    wanted = settings.train.total_steps * settings.train.global_batch_size
    order = training_order(len(rows), settings.train.seed, wanted)
    if run.step < settings.train.total_steps:
        callback = Callback(loaded, optimizer, follower, validation, saved, stop)
        _train(
            loaded.model, optimizer, Micro(rows, order, settings, made.dropouts, run.step), callback, saved
        )
    follower.stop_clock()
    judged = follower.judgements()
    agreement = ship(root, settings, folder, loaded, optimizer, config)
    write_curve(folder / "curve.jsonl", run.curve)
    write_json(
        folder / "info.json",
        {
            **follower.summary(rows, order),
            "peak_memory_bytes": peak_memory(settings),
            "trainable_parameters": made.trainable,
            "total_parameters": made.total,
            "resumed_from_step": resumed,
            "warm_started": False,
            "checks": judged,
            "parity": agreement,
        },
    )
    shutil.rmtree(saved, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model with what is trained of it. `config` None: all of it is, and its weights are in fp32."""

    loaded: Loaded
    config: dict[str, Any] | None  # of the adapter, as mlx_lm writes it
    dropouts: list[KeyedDropout]
    total: int
    trainable: int


def prepare(root: Path, settings: Settings) -> Prepared:
    """Load the base, quantise it, put the adapter into it, and check all that can be checked before."""
    adapter, config = settings.adapter, None
    dropouts: list[KeyedDropout] = []
    loaded = load_base(root, settings, "fp32" if adapter is None else settings.machine.precision)
    if settings.ships_model:
        check_layout(loaded)
    total = count(loaded.model.parameters())
    if settings.model.quantization_bits is not None:
        quantize(loaded, settings.model.quantization_bits)
    if adapter is None:
        loaded.model.unfreeze()
        settle(loaded.model)
    else:
        config, dropouts = add_adapter(loaded.model, adapter, settings.train.seed)
    trainable = check_trainable(loaded.model, settings.model.trainable_parameters)
    total += 0 if adapter is None else trainable
    return Prepared(loaded=loaded, config=config, dropouts=dropouts, total=total, trainable=trainable)


def _train(model: Any, optimizer: ClippedOptimizer, batches: Micro, callback: Callback, saved: Path) -> None:
    steps = batches.settings.train.total_steps - batches.first
    args = training_args(batches.settings, steps, saved / "unused.safetensors")
    with checkpointing_of(model), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            train(model, optimizer, None, None, args, training_loss, batches, callback)
        except TrainedError:
            return
        finally:
            model.eval()


@contextlib.contextmanager
def checkpointing_of(model: Any) -> Iterator[None]:
    """mlx_lm puts gradient checkpointing into the class of the layers, where it would stay."""
    kind = type(model.layers[0])
    plain = kind.__call__
    try:
        yield
    finally:
        kind.__call__ = plain


def ship(
    root: Path,
    settings: Settings,
    folder: Path,
    loaded: Loaded,
    optimizer: ClippedOptimizer,
    config: dict[str, Any] | None,
) -> dict[str, Any] | None:
    """Write adapter/ and model/; how near the merged model is to base and adapter (None: nothing merged).

    Raises CheckFailedError FTS651. The model in memory cannot be used afterwards.
    """
    model, dtype = loaded.model, settings.export.dtype
    if config is None:
        weights = {**dict(tree_flatten(model.parameters())), **optimizer.masters()}
        save(loaded, weights, folder / "model", dtype)
        return None
    save_adapter(model, config, folder / "adapter")
    if not settings.ships_model:
        return None
    return merge(root, settings, loaded, folder)


def merge(root: Path, settings: Settings, loaded: Loaded, folder: Path) -> dict[str, Any]:
    """Write model/ from a base with its adapter; how near it is to the two. Raises as `ship` does."""
    model, dtype = loaded.model, settings.export.dtype
    test = root / settings.data.folder / "test.jsonl"
    rows = read_token_rows(test, settings.model.max_seq_length)[: parity.ROWS]
    before = sample_logits(model, rows)
    save(loaded, merged_weights(model), folder / "model", dtype)
    after = sample_logits(load_shipped(root, settings, folder).model, rows)
    return parity.judge(before, after, dtypes=(dtype, settings.machine.precision), rows=len(rows))


def sample_logits(model: Any, rows: Sequence[TokenRow]) -> np.ndarray:
    """[positions, vocabulary] in fp32: what predicts the first targets of each row."""
    parts = []
    for row in rows:
        tokens = mx.array([row.input_ids], dtype=mx.int32)
        places = [place - 1 for place, target in enumerate(row.mask) if target][: parity.POSITIONS]
        parts.append(np.array(model(tokens)[0, mx.array(places)].astype(mx.float32)))
    return np.concatenate(parts)
