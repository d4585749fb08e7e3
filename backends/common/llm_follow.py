"""Keeps the record of an LLM training step by step: losses, curve, events, judgements; no torch.

Every backend calls `step` after each optimizer update with the loss of the whole batch, whatever its
library has averaged by itself, so that curves and judgements are those of the same numbers.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import loss_checks
from events import StageEvents, finite
from llm_checkpoints import RunState
from llm_rows import TokenRow
from llm_settings import Settings

PROGRESS_SECONDS = 0.5


class Follower:
    """`run` is all of its memory, and lies in every checkpoint."""

    def __init__(self, run: RunState, settings: Settings, rows: int, events: StageEvents) -> None:
        self.run = run
        self.settings = settings
        self.events = events
        self._rows = rows
        self._last_progress = 0.0
        self._began = time.perf_counter() - run.seconds  # attempts before this one count

    def step(self, loss: float, learning_rate: float, grad_norm: float | None = None) -> None:
        """One optimizer update is done: `loss` in nats a token over its whole batch, `learning_rate` as it
        was used. Raises CheckFailedError FTS607 and, under mode `fail`, FTS650."""
        run, settings, total = self.run, self.settings, self.settings.train.total_steps
        run.step += 1
        loss_checks.check_number(loss, run.step)
        run.losses.append(loss)
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_SECONDS or run.step == total:
            self._last_progress = now
            self.events.progress(run.step, total, "steps")
        if run.step % settings.train.logging_steps == 0 or run.step == total:
            logged = [point["step"] for point in run.curve if "loss" in point]
            window = run.losses[logged[-1] if logged else 0 :]
            point = {
                "step": run.step,
                "epoch": self.epoch,
                "loss": sum(window) / len(window),
                "learning_rate": learning_rate,
                "grad_norm": grad_norm,
            }
            run.curve.append(finite(point))
            self.events.emit("log", total_steps=total, **point)
        self._judge_divergence()

    @property
    def epoch(self) -> float:
        """How often the rows were seen, as a fraction."""
        return self.run.step * self.settings.train.global_batch_size / self._rows

    @property
    def wants_validation(self) -> bool:
        every = self.settings.train.eval_steps
        return every is not None and (
            self.run.step % every == 0 or self.run.step == self.settings.train.total_steps
        )

    @property
    def wants_checkpoint(self) -> bool:
        """At the last step too: a run that is killed after it trains no more."""
        train = self.settings.train
        return self.run.step % train.save_steps == 0 or self.run.step == train.total_steps

    def validated(self, loss: float) -> None:
        """`loss`: nats a token over the validation rows after this step."""
        values = {"loss": loss}
        self.run.curve.append({"step": self.run.step, "epoch": self.epoch, "eval": finite(values)})
        self.events.emit("eval", step=self.run.step, epoch=self.epoch, metrics=values, metric="loss")

    def stop_clock(self) -> None:
        """Bring `run.seconds` up to date, before a checkpoint and at the end."""
        self.run.seconds = time.perf_counter() - self._began

    def _judge_divergence(self) -> None:
        checks = self.settings.checks
        if checks.divergence == "off" or "FTS650" in self.run.warned:
            return
        fault = loss_checks.divergence(self.run.losses, checks.divergence_factor)
        if fault is not None:
            loss_checks.judge("FTS650", fault, checks.divergence, self.events)
            self.run.warned.append("FTS650")

    def judgements(self) -> dict[str, Any]:
        """What info.json says of the checks, at the end. Raises CheckFailedError FTS608 under mode `fail`."""
        checks, losses = self.settings.checks, self.run.losses
        rising = loss_checks.judge_losses(losses, checks.rising_loss, self.events)
        diverged = "warned" if "FTS650" in self.run.warned else "passed"
        if checks.divergence == "off":
            diverged = "off"
        return {
            "rising_loss": rising,
            "divergence": diverged,
            "loss_quarters": loss_checks.quarter_means(losses),
        }

    def summary(self, rows: Sequence[TokenRow], order: Sequence[int]) -> dict[str, Any]:
        """Steps, tokens and speed of the whole run, for info.json; `order` as it was trained."""
        run = self.run
        seen = order[: run.step * self.settings.train.global_batch_size]
        tokens = sum(len(rows[index].input_ids) for index in seen)
        return {
            "seconds": round(run.seconds, 3),
            "steps": run.step,
            "tokens": tokens,
            "tokens_per_second": round(tokens / run.seconds, 3) if run.seconds > 0 else None,
        }


def write_curve(path: Path, curve: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(point) + "\n" for point in curve)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(finite(value), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_lines(path: Path, values: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(finite(value), ensure_ascii=False) + "\n" for value in values)
