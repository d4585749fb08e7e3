"""How well the chosen backend does what each field of the plan says; what it cannot do is refused here."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.passes.context import Context, kind_of_device, span_of, target_of
from ftspec.passes.features import intended_features
from ftspec.plan.codec import canonical_json
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Fidelity, FieldFidelity, OriginKind, Plan, Value
from ftspec.target.features import Support
from ftspec.target.model import Target

_FIDELITY = {
    Support.FULL: Fidelity.EXACT,
    Support.APPROXIMATED: Fidelity.APPROXIMATED,
    Support.IMPOSSIBLE: Fidelity.IMPOSSIBLE,
}


def judge_fidelity(plan: Plan, context: Context) -> tuple[tuple[FieldFidelity, ...], Diagnostics]:
    """One entry for each leaf that the backend is handed, in the order of the leaves.

    FTS402: a leaf that is no default cannot be lowered, and `check_features` has not refused it already.
    Impossible defaults are listed, for the plan's reader.
    """
    target, device, found = target_of(plan, context), kind_of_device(plan, context), Diagnostics()
    asked = {need.field for need in intended_features(plan) if not target.supports(need.feature, device)}
    for row in impossible_on(target, plan, device):
        if row.field not in asked:
            found.extend([_refusal(plan, row, target, context)])
    return tuple(fidelity_on(target, plan, device)), found


def fidelity_on(target: Target, plan: Plan, device: str | None = None) -> Iterator[FieldFidelity]:
    """The entries of a plan on any backend. What is not decided yet has none; a leaf that the backend does
    not know has none either, for lowering refuses it."""
    values = dict(leaves(plan))
    for field, value in values.items():
        lowering = target.lowering_of(field)
        if lowering is None or (field.startswith("execution.") and value is None):
            continue
        judged = lowering.support(value, values.get, device)
        if judged is not None:
            support, difference = judged
            yield FieldFidelity(field=field, support=_FIDELITY[support], difference=difference)


def impossible_on(target: Target, plan: Plan, device: str | None = None) -> list[FieldFidelity]:
    """The leaves that keep a backend from running the plan: no defaults, and impossible there."""
    return [
        row
        for row in fidelity_on(target, plan, device)
        if row.support is Fidelity.IMPOSSIBLE and plan.origins[row.field].kind is not OriginKind.DEFAULT
    ]


def _refusal(plan: Plan, row: FieldFidelity, target: Target, context: Context) -> Diagnostic:
    value = dict(leaves(plan))[row.field]
    able = list(_others_that_can(plan, row.field, target, context))
    others = " or ".join(f"`{name}`" for name in able)
    remedy = (
        f"choose {others} for `resources.backend`" if able else "no other backend for this machine can do it"
    )
    return Diagnostic(
        code=codes.UNSUPPORTED_FEATURE,
        detail=f"`{row.field}` is {_text(value)}; {target.name}: {row.difference}",
        primary=span_of(context, row.field),
        help=f"leave it out of the spec, or {remedy}" if able else f"leave it out of the spec; {remedy}",
    )


def _others_that_can(plan: Plan, field: str, target: Target, context: Context) -> Iterator[str]:
    present = {"cpu", *(item.kind for item in context.hardware.accelerators)}
    for other in context.targets:
        if (
            other is target
            or plan.kind not in other.kinds
            or other.emit_only
            or not present & set(other.devices)
        ):
            continue
        if field not in {row.field for row in fidelity_on(other, plan) if row.support is Fidelity.IMPOSSIBLE}:
            yield other.name


def _text(value: Value) -> str:
    """As YAML writes it."""
    return canonical_json(dict(value) if isinstance(value, FrozenMap) else value)
