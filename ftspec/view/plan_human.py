"""A plan for people: what is trained, how this machine does it, what runs, how it is judged, what it costs."""

from collections.abc import Iterator

from ftspec.diagnostics.code import find_code
from ftspec.hardware.model import format_bytes
from ftspec.plan.embedding import EmbeddingExecutionPlan
from ftspec.plan.model import Action, Plan, Stage, Value
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import predicted_seconds
from ftspec.view.amounts import seconds_text, value_text
from ftspec.view.fidelity import fidelity_lines
from ftspec.view.lines import (
    BUSY,
    GOOD,
    HEADING,
    QUIET,
    WARN,
    Line,
    columns,
    labelled,
    paint,
    wrap,
)
from ftspec.view.plan_sentences import (
    data_sentences,
    evidence_sentences,
    model_sentence,
    objective_sentence,
    schedule_sentence,
)
from ftspec.view.reasons import PROSE
from ftspec.view.safe_text import safe

THIS_MACHINE = "this-machine"  # as the detector names it
_LABEL = 13
_VALUE = 21
_HOW = (
    ("backend", "execution.backend"),
    ("device", "execution.device"),
    ("processes", "execution.num_processes"),
    ("precision", "execution.precision"),
    ("batch", "execution.per_device_train_batch_size"),
    ("threads", "execution.num_threads"),
    ("memory limit", "execution.memory_limit_bytes"),
)


def render_plan(plan: Plan, *, width: int = 80, color: bool = False, explain: bool = False) -> str:
    """Text of at most `width` columns (from 60), ending in a newline; ANSI colours only if asked. `explain`
    tells of every field how well the backend does it, not only of those that differ."""
    width = max(width, 60)
    lines: list[Line] = [*_title(plan, width)]
    for heading, section in (
        ("What", _what(plan, width)),
        ("How", _how(plan, width)),
        ("Fidelity", fidelity_lines(plan, width, _LABEL, explain=explain)),
        ("Stages", _stages(plan, width)),
        ("Evidence", _evidence(plan, width)),
        ("Predicted", _predicted(plan, width)),
        ("Warnings", _warnings(plan, width)),
    ):
        body = list(section)
        if body:
            lines += [[], [(heading, HEADING)], *body]
    return paint(lines, color=color)


def short_hash(text: str) -> str:
    """The first twelve digits of `sha256:…`."""
    return text.partition(":")[2][:12] or text[:12]


def _title(plan: Plan, width: int) -> Iterator[Line]:
    yield [
        (safe(plan.name), HEADING),
        (f"  {plan.kind}", ""),
        (f"  spec {short_hash(plan.spec_hash)}", QUIET),
    ]
    if plan.description:
        yield from _paragraph(plan.description, width)
    if plan.overrides:
        yield from _paragraph(f"with --set {' --set '.join(plan.overrides)}", width)


def _paragraph(text: str, width: int) -> list[Line]:
    return [[(row, QUIET)] for row in wrap(text, width)]


def _what(plan: Plan, width: int) -> Iterator[Line]:
    rows = [("model", model_sentence(plan))]
    rows += list(data_sentences(plan))
    rows += [("objective", objective_sentence(plan)), ("optimiser", schedule_sentence(plan))]
    for label, text in rows:
        yield from labelled(label, text, width=width, label_width=_LABEL)
    if plan.model.trust_remote_code:
        yield from labelled(
            "remote code",
            "Python code of the base model runs on this machine",
            width=width,
            label_width=_LABEL,
            style=WARN,
        )


def _how(plan: Plan, width: int) -> Iterator[Line]:
    machine = plan.machine
    named = machine.summary if machine.name == THIS_MACHINE else f"{machine.name}: {machine.summary}"
    yield from labelled("machine", named, width=width, label_width=_LABEL)
    for label, field in _HOW:
        name = field.rpartition(".")[2]
        if label == "processes" and not _has_several_devices(plan):
            continue
        value: Value = getattr(plan.execution, name)
        text = _batch(plan) if label == "batch" else value_text(value, field=name)
        reason = why(plan, field)
        yield from columns([(label, QUIET), (text, ""), (reason, QUIET)], (_LABEL, _VALUE), width=width)


def _has_several_devices(plan: Plan) -> bool:
    several = (Reason.ONE_PROCESS_PER_RUN, Reason.ONE_PROCESS_PER_DEVICE)
    return any(item.reason in several for item in plan.decisions)


def _batch(plan: Plan) -> str:
    run = plan.execution
    batch = plan.train.global_batch_size
    if isinstance(run, EmbeddingExecutionPlan) and run.cached_loss:
        return f"{batch}, cached by {run.mini_batch_size}"
    parts = [run.num_processes, run.per_device_train_batch_size, run.gradient_accumulation_steps]
    factors = [str(part) for part in parts[:1] if part != 1] + [str(parts[1])]
    factors += [str(part) for part in parts[2:] if part != 1]
    text = f"{batch} = {' × '.join(factors)}" if len(factors) > 1 else f"{batch}"
    return text + (", checkpointing" if run.gradient_checkpointing else "")


def why(plan: Plan, field: str) -> str:
    """The reason of the last decision on a field that was no rejection; else its origin."""
    chosen = [item for item in plan.decisions if item.field == field and "rejected" not in item.facts]
    if not chosen:
        return f"{plan.origins[field].kind}" + (" in the spec" if plan.origins[field].place else "")
    last = chosen[-1]
    if last.reason is Reason.MEMORY_OF_MACHINE:
        reserve = last.facts.get("reserve_bytes")
        if not reserve:
            return "what the device lets a process use"
        return f"{PROSE[last.reason]} of {value_text(reserve, field='reserve_bytes')}"
    return PROSE[last.reason]


def stage_reason(plan: Plan, stage: Stage) -> str:
    """Why a stage runs, or does not; of an extended training also which one it goes on from."""
    extended = plan.extends
    if stage.reason is not Reason.EXTENDS or extended is None:
        return PROSE[stage.reason]
    return f"goes on from step {extended.step:,} of run {safe(extended.run_id)} (extend)"


def _stages(plan: Plan, width: int) -> Iterator[Line]:
    for stage in plan.stages:
        style = BUSY if stage.action is Action.RUN else GOOD
        yield from columns(
            [(stage.name, ""), (stage.action.value, style), (stage_reason(plan, stage), QUIET)],
            (_LABEL, 8),
            width=width,
        )


def _evidence(plan: Plan, width: int) -> Iterator[Line]:
    for label, text in evidence_sentences(plan):
        yield from labelled(label, text, width=width, label_width=_LABEL)


def _predicted(plan: Plan, width: int) -> Iterator[Line]:
    costs = plan.estimates
    if costs is None:
        return
    limit = plan.execution.memory_limit_bytes
    memory = f"peak {format_bytes(costs.peak_memory_bytes)}"
    if limit is not None:
        memory += f" of {format_bytes(limit)}"
    yield from labelled("memory", memory, width=width, label_width=_LABEL)
    seconds = predicted_seconds(plan)
    if plan.stages and all(stage.action is Action.REUSE for stage in plan.stages):
        yield from labelled("time", "none: everything is stored", width=width, label_width=_LABEL)
        return
    low, high = seconds / costs.wall_factor, seconds * costs.wall_factor
    basis = "from earlier runs" if costs.calibrated else "not yet measured on this machine"
    yield from labelled(
        "time",
        f"about {seconds_text(seconds)}, between {seconds_text(low)} and {seconds_text(high)} ({basis})",
        width=width,
        label_width=_LABEL,
    )


def _warnings(plan: Plan, width: int) -> Iterator[Line]:
    for note in plan.notes:
        code = find_code(note.code)
        summary = code.summary if code is not None else ""
        text = f"{summary}: {note.detail}" if note.detail else summary
        yield from columns([(note.code, WARN), (text, "")], (_LABEL,), width=width)
