"""Applies what the passes yield, records why, and checks after each pass that the plan still holds."""

from collections.abc import Iterable
from dataclasses import replace

from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.passes.context import Context, is_given
from ftspec.passes.estimate_cost import estimate_cost
from ftspec.passes.judge_fidelity import judge_fidelity
from ftspec.passes.order import PASSES, Step
from ftspec.plan import fields
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.invariants import check_complete, check_invariants
from ftspec.plan.model import Decision, FieldFidelity, Origin, OriginKind, Plan, PlanNote, Rewrite


def optimise(
    plan: Plan, context: Context, *, passes: Iterable[Step] | None = None
) -> tuple[Plan | None, Diagnostics]:
    """The plan with everything that hardware settles, or None with the faults of all passes.

    A pass whose needs are open or wrong because an earlier one found a fault is left out. Warnings become
    notes of the plan. Raises AssertionError when a pass breaks an invariant or rewrites what the
    user gave: those are our faults.
    """
    found = Diagnostics()
    faulty: set[str] = set()
    for step in PASSES[plan.kind] if passes is None else passes:
        if faulty.intersection(step.needs):
            faulty.update(step.settles)
            continue
        unsettled = [need for need in step.needs if getattr(plan.execution, need) is None]
        assert not unsettled, f"{step.name} comes before {unsettled} are settled"
        faults = len(found)
        plan = _run(step, plan, context, found)
        if len(found) > faults:
            faulty.update(step.settles)
        check_invariants(plan)
    fidelity: tuple[FieldFidelity, ...] = ()
    if not faulty & {"backend", "device"}:
        fidelity, refused = judge_fidelity(plan, context)
        found.extend(refused)
    if found.has_errors:
        return None, found
    plan = replace(plan, estimates=estimate_cost(plan, context), fidelity=fidelity)
    check_complete(plan)
    return plan, found


def apply_rewrite(plan: Plan, rewrite: Rewrite, *, by: str) -> Plan:
    """One rewrite with its decision. A value equal to the present one records a rejected candidate."""
    before = fields.get(plan, rewrite.field)
    decision = Decision(
        field=rewrite.field,
        before=before,
        after=rewrite.value,
        reason=rewrite.reason,
        facts=rewrite.facts,
        by=by,
        place=plan.origins[rewrite.field].place,
    )
    decided = replace(plan, decisions=(*plan.decisions, decision))
    if rewrite.value == before:
        return decided
    assert not is_given(plan, rewrite.field), f"{by} rewrites {rewrite.field}, which the user gave"
    rewritten = fields.replace_leaf(decided, rewrite.field, rewrite.value)
    origins = FrozenMap({**plan.origins, rewrite.field: Origin(kind=OriginKind.DECIDED)})
    return replace(rewritten, origins=origins)


def _run(step: Step, plan: Plan, context: Context, found: Diagnostics) -> Plan:
    for item in tuple(step.run(plan, context)):
        if isinstance(item, Rewrite):
            plan = apply_rewrite(plan, item, by=step.name)
        elif item.is_error:
            found.extend([item])
        else:
            plan = _with_note(plan, item)
    return plan


def _with_note(plan: Plan, warning: Diagnostic) -> Plan:
    note = PlanNote(code=warning.code.id, detail=warning.detail)
    return plan if note in plan.notes else replace(plan, notes=(*plan.notes, note))
