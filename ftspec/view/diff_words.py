"""What is said of a difference in every form for people."""

import json
from collections.abc import Iterator
from typing import Any

from ftspec.hardware.model import format_bytes
from ftspec.plan.changes import MEANING, Category
from ftspec.plan.continuation import Continuation, Form, Obstacle
from ftspec.plan.difference import Costs, Difference, Shift, SourceChange, StageChange, StageReason
from ftspec.plan.space import short_space
from ftspec.view.amounts import count_text, number_text, seconds_text

STAGE_WORDS = {
    StageReason.UNCHANGED: "unchanged, and stored",
    StageReason.STORED: "changed, and stored already",
    StageReason.CHANGED: "changed",
    StageReason.NOT_STORED: "unchanged, but not stored yet",
}
_OBSTACLES = {
    Obstacle.KIND: "another kind of model",
    Obstacle.CURVE: "the learning rate differs",
    Obstacle.SHORTER: "the new training ends earlier",
    Obstacle.MODEL: "other weights to start from, or to train",
    Obstacle.ORDER: "another order of rows",
    Obstacle.BATCH: "another effective batch",
    Obstacle.OPTIMIZER: "another optimizer",
    Obstacle.DATA: "other data",
    Obstacle.OBJECTIVE: "another loss",
    Obstacle.CHECKPOINT: "what is kept is a chosen checkpoint, not the last state",
    Obstacle.BACKEND: "its state cannot be carried over",
    Obstacle.OTHER: "it is part of what identifies a training",
}
_LONGEST = 60


def verdict(found: Difference) -> str:
    """One sentence, and another where the weights are there already."""
    if found.category is None:
        return "No change: both mean the same."
    stored = " They are stored: nothing is trained." if found.is_stored else ""
    return f"{found.category}: {MEANING[found.category]}{stored}"


def cost_text(costs: Costs | None, stages: tuple[StageChange, ...]) -> str:
    """What runs because of the changes, and how long."""
    changed = [stage.name for stage in stages if stage.reason is StageReason.CHANGED]
    if not stages:
        return ""
    if not changed:
        return "No stage runs again because of it."
    text = f"{', '.join(changed)} {'runs' if len(changed) == 1 else 'run'} again"
    if costs is None:
        return f"{text}."
    low, high = costs.seconds / costs.factor, costs.seconds * costs.factor
    return (
        f"{text}: about {seconds_text(costs.seconds)} ({seconds_text(low)} to {seconds_text(high)}), "
        f"peak memory {format_bytes(costs.new_peak_memory_bytes)}."
    )


def json_text(value: Any, *, limit: int = _LONGEST) -> str:
    """A JSON value as one line; digests and long values are cut."""
    if value is None:
        return "not set"
    if isinstance(value, str):
        text = value.removeprefix("sha256:")[:12] if value.startswith("sha256:") else value or '""'
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = number_text(value)
    elif isinstance(value, list) and value and all(isinstance(each, str | int | float) for each in value):
        text = ", ".join(json_text(each) for each in value)
    else:
        text = json.dumps(without_nulls(value), ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def without_nulls(value: Any) -> Any:
    """Without what is null: a whole section has many keys that nobody wrote."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return value


def space_text(found: Difference) -> str:
    """The space in which training starts, where it is another one."""
    one, other = found.old.space_id, found.new.space_id
    if one is None or other is None or one == other:
        return ""
    return f"{short_space(one)} → {short_space(other)} (of the base, read as planned)"


def memory_text(costs: Costs | None) -> str:
    """`peak 900.0 MiB → 1.2 GiB`; empty where it stays."""
    if costs is None or costs.old_peak_memory_bytes is None:
        return ""
    old, new = format_bytes(costs.old_peak_memory_bytes), format_bytes(costs.new_peak_memory_bytes)
    if old == new:
        return ""
    text = f"peak {old} → {new}"
    limit = costs.memory_limit_bytes
    return text if limit is None else f"{text} of {format_bytes(limit)}"


def source_text(source: SourceChange) -> str:
    """`36 → 40 rows: 5 added, 1 removed, 0 changed; 12.5 % of the rows are new`."""
    if source.old_digest is None:
        return f"a new source of {count_text(source.new_rows or 0, 'row')}"
    if source.new_digest is None:
        return f"left out; it had {count_text(source.old_rows or 0, 'row')}"
    text = f"{source.old_rows:,} → {count_text(source.new_rows or 0, 'row')}"
    if source.rows is None:
        return (
            f"{text}, content {json_text(source.old_digest)} → {json_text(source.new_digest)} "
            "(only one version can be read here)"
        )
    rows = source.rows
    text += f": {rows.added:,} added, {rows.removed:,} removed, {rows.changed:,} changed"
    return text if source.share_new is None else f"{text}; {source.share_new:.1%} of the rows are new"


def shift_text(shift: Shift) -> str:
    name = shift.name.replace("_", " ")
    if "share" in shift.name:
        return f"{name}: {shift.old:.1%} → {shift.new:.1%}"
    return f"{name}: {shift.old:,} → {shift.new:,}"


def is_leak(shift: Shift) -> bool:
    return shift.name.startswith("leaked_") and shift.new > shift.old


def continuation_sentences(found: Difference) -> Iterator[str]:
    """What can be kept of the earlier training; nothing where training does not change."""
    kept = found.continuation
    if kept is None:
        return
    if kept.warm_start is not None:
        start = kept.warm_start
        yield f"warm start from {start.name} {start.version}: its weights only, not its schedule, optimizer or data position"
    if kept.form is Form.EXTEND and kept.steps is not None:
        yield f"extend is safe: the first {kept.steps[0]:,} of {kept.steps[1]:,} steps are the same, step by step"
        if kept.extends is None and any(
            each.name == "train" and each.action == "run" for each in found.stages
        ):
            yield "apply trains from the start all the same: no last state to go on from is kept here"
    if kept.extends is not None:
        yield f"apply goes on from step {kept.extends.step:,} of run {kept.extends.run_id}"
    if kept.form is not Form.RESUME and kept.refused:
        yield f"extend is refused: {'; '.join(_refusals(kept))}"
        if kept.warm_start is None and found.category in (Category.RETRAIN, Category.SPACE_BREAK):
            yield f"a warm start is asked for by name: --set model.base={found.old.name} (once it is registered)"


def _refusals(kept: Continuation) -> list[str]:
    shown = [
        f"{each.field} {json_text(each.old, limit=24)} → {json_text(each.new, limit=24)} ({_OBSTACLES[each.obstacle]})"
        for each in kept.refused[:3]
    ]
    rest = len(kept.refused) - len(shown)
    return [*shown, f"and {rest} more"] if rest else shown
