"""Numbers as people read them."""

from ftspec.hardware.model import format_bytes
from ftspec.plan.continuation import warm_start_of
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Value


def base_text(plan: Plan) -> str:
    """The base as the spec names it; of a warm start the version that it came to."""
    started = warm_start_of(plan)
    if started is not None:
        return f"warm start from {started.name} {started.version}"
    return plan.model.base + (f"@{plan.model.revision}" if plan.model.revision else "")


def seconds_text(seconds: float) -> str:
    """`48 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count_text(count: int, noun: str) -> str:
    """`1 row`, `1,024 rows`, `2 queries`."""
    if count == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {plural}"


def millions_text(count: int) -> str:
    """`22.7 M`, `0.29 M`, `950`."""
    if count < 10_000:
        return f"{count:,}"
    millions = count / 1e6
    return f"{millions:,.1f} M" if millions >= 1 else f"{millions:.2f} M"


def number_text(value: float) -> str:
    """The shortest usual form: `5e-05`, `0.05`, `1`."""
    return f"{value:g}"


def value_text(value: Value, *, field: str = "") -> str:
    """A leaf of a plan, or a fact. Names that end in `_bytes` tell the unit."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value if value else '""'
    if isinstance(value, FrozenMap):
        return ", ".join(f"{key}={value_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(value_text(item) for item in value) or "none"
    if field.endswith("_bytes"):
        return format_bytes(value)
    if isinstance(value, int):
        return f"{value:,}" if not field.endswith("seed") else str(value)
    return number_text(value)
