"""`ftspec synth`: where texts stand, what asking will take, how it goes, and what it took."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ftspec.plan.synth import ANSWERS, SynthPrices, SynthSettings
from ftspec.synth.account import Account, Estimate, Phase, cost
from ftspec.synth.detect import EndpointState
from ftspec.synth.stored import Counts
from ftspec.view.amounts import count_text, seconds_text
from ftspec.view.lines import BUSY, GOOD, HEADING, QUIET, WARN, Line, labelled, paint

if TYPE_CHECKING:
    from rich.progress import TaskID

FORMAT_VERSION = "1.0"
_LABEL_WIDTH = 12
_PLAIN_SECONDS = 10.0  # between plain progress lines
_MODELS_SHOWN = 8

Show = Callable[[Phase], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthView:
    """One source of a spec. `endpoint` is None where nobody asked it."""

    place: str  # data.train[0]
    label: str
    settings: SynthSettings
    counts: tuple[tuple[str, Counts], ...]  # task -> counts
    expected: Estimate
    endpoint: EndpointState | None = None

    @property
    def missing(self) -> int:
        return sum(counts.missing for _, counts in self.counts)


# --- where it stands --------------------------------------------------------------------------


def render_state(views: Sequence[SynthView], *, width: int, color: bool) -> str:
    """Before asking: what is stored, what is missing, and what that will take."""
    lines: list[Line] = []
    for view in views:
        lines += [*_head(view), *_rows(_state_rows(view), width), []]
    return paint(lines[:-1], color=color)


def _head(view: SynthView) -> list[Line]:
    return [[(f"{view.place}  ", HEADING), (view.label, QUIET)]]


def _rows(rows: Sequence[tuple[str, str, str]], width: int) -> list[Line]:
    return [
        line
        for label, text, style in rows
        for line in labelled(label, text, width=width, label_width=_LABEL_WIDTH, style=style)
    ]


def _state_rows(view: SynthView) -> list[tuple[str, str, str]]:
    settings = view.settings
    judge = f", judged by {settings.judge.model}" if settings.judge is not None else ""
    rows = [("model", f"{settings.model}{judge}", "")]
    if view.endpoint is not None:
        rows.append(("endpoint", *_endpoint_text(view.endpoint, _models(settings))))
    rows += [(task, *_counts_text(task, counts)) for task, counts in view.counts]
    if view.expected.requests:
        rows.append(("still to ask", expected_text(view.expected, settings.prices), ""))
    return rows


def _models(settings: SynthSettings) -> tuple[str, ...]:
    judge = () if settings.judge is None else (settings.judge.model,)
    return tuple(dict.fromkeys((settings.model, *judge)))


def _endpoint_text(state: EndpointState, wanted: Sequence[str] = ()) -> tuple[str, str]:
    """(text, style)"""
    if state.fault is not None:
        return f"{state.url}: {state.fault.summary}", WARN
    lacking = [model for model in wanted if not state.has(model)]
    names = list(state.models[:_MODELS_SHOWN])
    more = len(state.models) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more > 0 else "") or "none"
    if lacking:
        return f"{state.url} does not list {', '.join(lacking)}; it lists {listed}", WARN
    return f"{state.url} answers; models: {listed}", GOOD


def _counts_text(task: str, counts: Counts) -> tuple[str, str]:
    noun = "question" if task == ANSWERS else "document"
    text = f"{counts.kept:,} kept of {counts.written:,} written, from {count_text(counts.documents, noun)}"
    parts = [
        f"{number:,} {words}"
        for number, words in (
            (counts.missing, "missing"),
            (counts.dropped, "without a usable reply"),
            (counts.not_found_first, "not first in the round trip"),
            (counts.low_grades, "graded too low"),
            (counts.cut_documents, "cut at max_document_chars"),
        )
        if number
    ]
    return "; ".join([text, *parts]), BUSY if counts.missing else ""


def expected_text(expected: Estimate, prices: SynthPrices | None) -> str:
    text = (
        f"about {count_text(expected.requests, 'request')}, {expected.input_tokens:,} tokens in and "
        f"{expected.output_tokens:,} out"
    )
    price = cost(prices, expected.input_tokens, expected.output_tokens)
    return text + ("" if price is None else f", {money_text(price)}")


def money_text(amount: float) -> str:
    """In the currency of the prices, which is not known here."""
    return f"cost {amount:,.2f}" if amount >= 0.01 or amount == 0 else "cost below 0.01"


# --- what it took -----------------------------------------------------------------------------


def render_done(
    views: Sequence[SynthView], account: Account, *, width: int, color: bool, stopped: bool = False
) -> str:
    """After asking: what is stored now, and what it took."""
    lines: list[Line] = []
    for view in views:
        lines += _head(view)
        lines += _rows([(task, *_counts_text(task, counts)) for task, counts in view.counts], width)
        lines.append([])
    lines += _rows(_account_rows(views, account, stopped), width)
    return paint(lines, color=color)


def _account_rows(views: Sequence[SynthView], account: Account, stopped: bool) -> list[tuple[str, str, str]]:
    reused = sum(phase.stored for phase in account.phases)
    if not account.requests and not stopped:
        return [
            ("asked", f"nothing: {count_text(reused, 'answer')} stored before" if reused else "nothing", "")
        ]
    rows = [("asked", f"{count_text(account.made, 'answer')} in {count_text(account.requests, 'request')}"
             f" and {seconds_text(account.seconds)}; {reused:,} were stored before", "")]  # fmt: skip
    about = "" if account.counted else "about "
    tokens = f"{about}{account.input_tokens:,} tokens in, {account.output_tokens:,} out"
    price = _price(views, account)
    rows.append(("took", tokens + ("" if price is None else f", {about}{money_text(price)}"), ""))
    for model, answered in account.served_by.items():
        rows.append(("served by", f"{model} was answered by `{answered}`", ""))
    if account.damaged:
        rows.append(("damaged", f"{count_text(account.damaged, 'stored answer')} could not be read", WARN))
    if stopped:
        rows.append(("stopped", "what was finished is kept: the same command goes on from here", WARN))
    return rows


def _price(views: Sequence[SynthView], account: Account) -> float | None:
    """Where all sources have the same prices; tokens are counted over all of them."""
    prices = {view.settings.prices for view in views}
    return cost(prices.pop(), account.input_tokens, account.output_tokens) if len(prices) == 1 else None


def synth_document(
    spec: str, views: Sequence[SynthView], account: Account | None, *, complete: bool
) -> dict[str, Any]:
    """Of `--format json`. `account` is None for a check."""
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "spec": spec,
        "complete": complete,
        "sources": [_source_document(view) for view in views],
    }
    if account is not None:
        document["account"] = {
            **asdict(account),
            "made": account.made,
            "dropped": account.dropped,
            "failed": account.failed,
            "seconds": round(account.seconds, 3),
            "cost": _price(views, account),
        }
    return document


def _source_document(view: SynthView) -> dict[str, Any]:
    settings, state = view.settings, view.endpoint
    expected = view.expected
    return {
        "place": view.place,
        "path": view.label,
        "model": settings.model,
        "judge": None if settings.judge is None else settings.judge.model,
        "endpoint": None if state is None else endpoint_document(state),
        "tasks": {task: asdict(counts) for task, counts in view.counts},
        "expected": {
            **asdict(expected),
            "cost": cost(settings.prices, expected.input_tokens, expected.output_tokens),
        },
    }


# --- endpoints --------------------------------------------------------------------------------


def endpoint_document(state: EndpointState) -> dict[str, Any]:
    fault = state.fault
    return {
        "name": state.name,
        "url": state.url,
        "api": state.api,
        "models": list(state.models),
        "fault": None
        if fault is None
        else {"code": fault.code.id, "summary": fault.summary, "detail": fault.detail, "help": fault.help},
    }


def endpoint_rows(states: Sequence[EndpointState]) -> list[tuple[str, str]]:
    """(name, what there is to say), for doctor."""
    return [
        (state.name, _endpoint_text(state)[0] + (f" ({state.fault.help})" if state.fault is not None else ""))
        for state in states
    ]


# --- while it goes ----------------------------------------------------------------------------


@contextmanager
def synth_progress(*, color: bool) -> Iterator[Show]:
    """Shows phases on stderr: bars in a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield _Plain().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True, no_color=not color, highlight=False),
    )
    tasks: dict[int, TaskID] = {}

    def show(phase: Phase) -> None:
        if id(phase) not in tasks:
            tasks[id(phase)] = progress.add_task(phase.name, total=phase.total, note="")
        progress.update(tasks[id(phase)], completed=_done(phase), note=_note(phase))

    with progress:
        yield show


class _Plain:
    def __init__(self) -> None:
        self._last = 0.0

    def show(self, phase: Phase) -> None:
        done = _done(phase)
        first = phase.made == phase.failed == 0
        now = time.monotonic()
        if not first and done < phase.total and now - self._last < _PLAIN_SECONDS:
            return
        self._last = now
        note = _note(phase)
        text = f"{phase.name}: {done:,}/{phase.total:,}" + (f", {note}" if note else "")
        print(text, file=sys.stderr, flush=True)


def _done(phase: Phase) -> int:
    return phase.stored + phase.made + phase.failed


def _note(phase: Phase) -> str:
    parts = [
        f"{number:,} {words}"
        for number, words in (
            (phase.stored, "stored before"),
            (phase.dropped, "dropped"),
            (phase.failed, "failed"),
        )
        if number
    ]
    return ", ".join(parts)
