"""How well the chosen backend does what the plan says, for people."""

from collections.abc import Iterator

from ftspec.plan.model import Fidelity, FieldFidelity, Plan
from ftspec.view.lines import WARN, Line, labelled


def fidelity_summary(plan: Plan) -> str:
    """`47 fields exact; approximated: train.packing; impossible: train.checks.rising_loss`."""
    exact = sum(row.support is Fidelity.EXACT for row in plan.fidelity)
    if exact == len(plan.fidelity):
        return f"all {exact} fields exact"
    parts = [f"{exact} fields exact"]
    for support in (Fidelity.APPROXIMATED, Fidelity.IMPOSSIBLE):
        fields = [row.field for row in plan.fidelity if row.support is support]
        if fields:
            parts.append(f"{support}: {', '.join(fields)}")
    return "; ".join(parts)


def differences(plan: Plan) -> Iterator[FieldFidelity]:
    """What is not exact; the impossible comes last."""
    for support in (Fidelity.APPROXIMATED, Fidelity.IMPOSSIBLE):
        yield from (row for row in plan.fidelity if row.support is support)


def fidelity_lines(plan: Plan, width: int, label_width: int, *, explain: bool) -> Iterator[Line]:
    """The summary, then each difference in words; with `explain` every field."""
    if not plan.fidelity:
        return
    backend = plan.execution.backend or ""
    yield from labelled(backend, fidelity_summary(plan), width=width, label_width=label_width)
    for row in plan.fidelity if explain else differences(plan):
        text = f"{row.field}: {row.difference}" if row.difference else row.field
        style = WARN if row.support is Fidelity.IMPOSSIBLE else ""
        yield from labelled(row.support, text, width=width, label_width=label_width, style=style)
