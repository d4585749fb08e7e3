"""Which backend trains: asked for by name, or the first that can."""

from collections.abc import Iterator
from difflib import get_close_matches

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, is_given, span_of, torch_device
from ftspec.passes.features import intended_features
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason
from ftspec.target.model import Support, Target

FIELD = "execution.backend"


def pick_backend(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.backend`; every rejected candidate is a decision of its own.

    A candidate must know the kind and a device of the machine. Among those, one that has all features
    wins over one that lacks some; if all lack some, `check_features` names them.
    """
    candidates = context.targets
    if is_given(plan, FIELD):
        candidates = tuple(target for target in candidates if target.name == plan.execution.backend)
    rejected = {target.name: why for target in candidates if (why := _why_not(target, plan, context))}
    left = [target for target in candidates if target.name not in rejected]
    if not left:
        yield _no_backend(plan, context, rejected)
        return
    if is_given(plan, FIELD):
        return
    lacking = {target.name: _lacking(target, plan) for target in left}
    best = min(left, key=lambda target: len(lacking[target.name]))  # the first one among equals
    for target in left:
        if len(lacking[target.name]) > len(lacking[best.name]):
            rejected[target.name] = "; ".join(lacking[target.name])
    for name, why in rejected.items():
        yield Rewrite(
            field=FIELD,
            value=plan.execution.backend,
            reason=Reason.BACKEND_REJECTED,
            facts=FrozenMap({"rejected": name, "why": why}),
        )
    equals = tuple(target.name for target in left if target.name not in rejected and target is not best)
    yield Rewrite(
        field=FIELD,
        value=best.name,
        reason=Reason.FIRST_THAT_CAN if equals else Reason.ONLY_CANDIDATE,
        facts=FrozenMap({"kind": plan.kind, "candidates": tuple(target.name for target in candidates)}),
    )


def _why_not(target: Target, plan: Plan, context: Context) -> str:
    """Empty if the target can run this kind on this machine."""
    if plan.kind not in target.kinds:
        return f"it does not train kind {plan.kind}"
    present = {"cpu", *(item.kind for item in context.hardware.accelerators)}
    wish = plan.execution.device
    if wish is not None:
        return "" if wish in map(torch_device, target.devices) else f"it does not run on {wish}"
    if present & set(target.devices):
        return ""
    return f"it needs {' or '.join(target.devices)}, this machine has {', '.join(sorted(present))}"


def _lacking(target: Target, plan: Plan) -> list[str]:
    """One sentence for each feature that the spec asks for and the target does not have."""
    sentences = []
    for need in intended_features(plan):
        found = target.support_of(need.feature)
        if found.support in {Support.NOT_IMPLEMENTED, Support.IMPOSSIBLE}:
            sentences.append(f"{need.feature} is {found.support.replace('_', ' ')}: {found.why}")
    return sentences


def _no_backend(plan: Plan, context: Context, rejected: dict[str, str]) -> Diagnostic:
    known = ", ".join(target.name for target in context.targets) or "none"
    if is_given(plan, FIELD) and not rejected:
        names = [target.name for target in context.targets]
        close = get_close_matches(str(plan.execution.backend), names, n=1)
        return Diagnostic(
            code=codes.NO_BACKEND,
            detail=f"{plan.execution.backend!r} is not among the known backends: {known}",
            primary=span_of(context, FIELD),
            help=(f"did you mean `{close[0]}`? " if close else "")
            + "`ftspec doctor` lists the backends; `backend: auto` takes one that can",
        )
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
    return Diagnostic(
        code=codes.NO_BACKEND,
        detail=reasons or "no backend is known",
        primary=span_of(context, "execution.device") or span_of(context, FIELD),
        help="`ftspec doctor` shows the devices of this machine and what each backend runs on",
    )
