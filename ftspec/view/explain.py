"""Why a plan holds the values that it holds: value, origin, decisions, facts, and what was rejected."""

from collections.abc import Iterator
from difflib import get_close_matches

from ftspec.plan.fields import leaves
from ftspec.plan.model import Decision, Fidelity, OriginKind, Plan, Value
from ftspec.view.amounts import value_text
from ftspec.view.lines import HEADING, QUIET, WARN, Line, labelled, paint
from ftspec.view.reasons import PROSE
from ftspec.view.safe_text import safe

_ORIGINS = {
    OriginKind.GIVEN: "given in the spec",
    OriginKind.DEFAULT: "default of the spec language",
    OriginKind.DECIDED: "decided",
}
_LABEL = 10


class UnknownField(Exception):  # noqa: N818 - the user's fault, reported as a usage error
    """The plan has no such leaf; the message offers near ones."""


def render_explanation(plan: Plan, field: str | None = None, *, width: int = 80, color: bool = False) -> str:
    """Explain one leaf, all leaves below a section (`execution`), or with None the whole plan.

    Raises UnknownField with suggestions.
    """
    values = dict(leaves(plan))
    chosen = list(values) if field is None else matching_fields(plan, field)
    lines: list[Line] = []
    for index, name in enumerate(chosen):
        if index:
            lines.append([])
        lines.extend(_explain(plan, name, values[name], width))
    return paint(lines, color=color)


def matching_fields(plan: Plan, field: str) -> list[str]:
    """The leaf of that name, or all below a section. Raises UnknownField."""
    names = [name for name, _ in leaves(plan)]
    if field in names:
        return [field]
    below = [name for name in names if name.startswith(f"{field}.")]
    if below:
        return below
    same_end = [name for name in names if name.rpartition(".")[2] == field.rpartition(".")[2]]
    ends = {name.rpartition(".")[2]: name for name in names}
    like_end = get_close_matches(field.rpartition(".")[2], ends, n=4, cutoff=0.75)
    near = same_end or [ends[end] for end in like_end] or get_close_matches(field, names, n=4, cutoff=0.6)
    hint = f"did you mean {', '.join(near[:4])}?" if near else "`ftspec explain PLAN` lists all fields"
    raise UnknownField(f"the plan has no field {safe(field)!r}; {hint}")


def _explain(plan: Plan, field: str, value: Value, width: int) -> list[Line]:
    origin = plan.origins[field]
    place = f" ({origin.place})" if origin.place else ""
    lines: list[Line] = [[(safe(field), HEADING)]]
    lines += labelled("value", value_text(value, field=field), width=width, label_width=_LABEL)
    lines += labelled("origin", _ORIGINS[origin.kind] + place, width=width, label_width=_LABEL)
    for decision in plan.decisions:
        if decision.field == field:
            lines += _decision(decision, width)
    for row in plan.fidelity:
        if row.field == field:
            style = WARN if row.support is Fidelity.IMPOSSIBLE else ""
            text = f"{row.support} on {plan.execution.backend}" + (
                f": {row.difference}" if row.difference else ""
            )
            lines += labelled("fidelity", text, width=width, label_width=_LABEL, style=style)
    return lines


def _decision(decision: Decision, width: int) -> Iterator[Line]:
    facts = dict(decision.facts)
    rejected = facts.pop("rejected", None)
    why = facts.pop("why", None)
    if rejected is not None:
        text = f"{value_text(rejected)}: {value_text(why) if why is not None else PROSE[decision.reason]}"
        yield from labelled("rejected", text, width=width, label_width=_LABEL, style=WARN)
    else:
        prose = PROSE[decision.reason] + (f" ({value_text(why)})" if why is not None else "")
        yield from labelled("because", prose, width=width, label_width=_LABEL)
    told = ", ".join(f"{name} = {value_text(fact, field=name)}" for name, fact in facts.items())
    if told:
        yield from labelled("facts", told, width=width, label_width=_LABEL, style=QUIET)
    by = decision.by + (f", at {decision.place}" if decision.place else "")
    yield from labelled("by", by, width=width, label_width=_LABEL, style=QUIET)
