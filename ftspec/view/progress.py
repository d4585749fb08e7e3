"""Live progress of an apply: rich in a terminal, plain lines elsewhere, JSON lines on request.

Progress goes to stderr, so that stdout holds results only; JSON events are results and go to stdout.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ftspec.plan.model import Action, Plan
from ftspec.run.events import Event
from ftspec.view.amounts import seconds_text

Observe = Callable[[Event], None]

STAGE_TITLES = {
    "ingest": "Read data",
    "split": "Split",
    "encode_base": "Encode with the base",
    "train": "Train",
    "encode_tuned": "Encode with the tuned model",
    "evaluate": "Evaluate",
    "gate": "Judge",
    "register": "Register",
}
_PLAIN_SECONDS = 10.0  # between plain progress lines


@contextmanager
def progress_view(plan: Plan, *, format_: str, color: bool) -> Iterator[Observe]:
    """A callback that shows events. Nothing is shown when every stage is reused."""
    if all(stage.action is Action.REUSE for stage in plan.stages) and format_ != "json":
        yield lambda event: None
    elif format_ == "json":
        yield _as_json
    elif sys.stderr.isatty():
        with _live(color=color) as observe:
            yield observe
    else:
        yield _Plain().show


def _as_json(event: Event) -> None:
    document = {"time": event.time, "stage": event.stage, "event": event.event, **event.values}
    print(json.dumps(document, ensure_ascii=False), flush=True)


def describe(event: Event) -> str:
    """What an event says beside its progress; empty when there is nothing to say."""
    values = event.values
    match event.event:
        case "log" if values.get("loss") is not None:
            return f"loss {values['loss']:.3f}"
        case "eval":
            metrics = values.get("metrics") or {}
            shown = [f"{name} {value:.3f}" for name, value in metrics.items() if value is not None]
            return f"validation {', '.join(shown)}" if shown else ""
        case "resumed":
            return f"resumed from the checkpoint of step {values.get('step')}"
        case "warning":
            return str(values.get("detail", ""))
        case _:
            return ""


class _Plain:
    """Lines for logs: starts, ends, and now and then how far it is."""

    def __init__(self) -> None:
        self._last = 0.0
        self._note = ""

    def show(self, event: Event) -> None:
        title = STAGE_TITLES.get(event.stage, event.stage)
        note = describe(event)
        if event.event == "start":
            self._last, self._note = time.monotonic(), ""
            self._print(f"{title} …")
        elif event.event == "end":
            seconds = event.values.get("seconds")
            self._print(f"{title}: done" + (f" in {seconds_text(seconds)}" if seconds is not None else ""))
        elif event.event in ("resumed", "warning", "eval"):
            self._print(f"{title}: {note}")
        elif event.event == "log":
            self._note = note
        elif event.event == "progress" and time.monotonic() - self._last >= _PLAIN_SECONDS:
            self._last = time.monotonic()
            done, total = event.values.get("done"), event.values.get("total")
            unit = event.values.get("unit", "")
            self._print(f"{title}: {done}/{total} {unit}" + (f", {self._note}" if self._note else ""))

    @staticmethod
    def _print(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _live(*, color: bool) -> Iterator[Observe]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
    from rich.text import Text

    console = Console(stderr=True, no_color=not color, highlight=False)
    progress = Progress(
        TextColumn("{task.fields[mark]}"),
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
    )
    tasks: dict[str, TaskID] = {}

    def observe(event: Event) -> None:
        title = STAGE_TITLES.get(event.stage, event.stage)
        if event.event == "start":
            tasks[event.stage] = progress.add_task(title, total=None, mark=" ", note="")
        task = tasks.get(event.stage)
        if task is None:
            return
        note = describe(event)
        if event.event == "progress":
            progress.update(task, completed=event.values.get("done", 0), total=event.values.get("total"))
        elif event.event == "end":
            total = progress.tasks[progress.task_ids.index(task)].total or 1
            progress.update(task, completed=total, total=total, mark="✓")
            progress.stop_task(task)
        elif event.event == "error":
            progress.update(task, mark="✗")
            progress.stop_task(task)
        elif event.event in ("resumed", "warning"):
            console.print(Text(f"  {title}: {note}"))
        elif note:
            progress.update(task, note=note)

    with progress:
        yield observe
