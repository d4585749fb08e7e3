"""Every feature that the spec asks for is one that the backend has; nothing is left out in silence."""

from collections.abc import Iterable, Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, kind_of_device, span_of, target_of
from ftspec.passes.features import Need, intended_features
from ftspec.plan.model import Plan, Rewrite
from ftspec.target.features import Support


def check_features(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Refuses what the backend cannot do (FTS402); says what it can only approximate (FTS407)."""
    yield from judge(plan, context, intended_features(plan))


def judge(plan: Plan, context: Context, needs: Iterable[Need]) -> Iterator[Diagnostic]:
    """One finding for each feature, however many fields ask for it; one refusal for each field."""
    target, kind = target_of(plan, context), kind_of_device(plan, context)
    first: dict[str, Need] = {}
    refused: set[str] = set()  # leaves: what one of them asks for besides would be told twice
    for need in needs:
        first.setdefault(need.feature, need)
    for need in first.values():
        found = target.support_of(need.feature, kind)
        if found.support is Support.FULL:
            continue
        if found.support is Support.APPROXIMATED:
            yield Diagnostic(
                code=codes.APPROXIMATED,
                detail=f"{need.feature} on {target.name}: {found.why}",
                primary=span_of(context, need.field),
            )
            continue
        if need.field in refused:
            continue
        refused.add(need.field)
        remedy = "remove it from the spec, or choose another backend"
        yield Diagnostic(
            code=codes.UNSUPPORTED_FEATURE,
            detail=f"`{need.field}` asks for {need.feature}; {target.name}: {found.why}",
            primary=span_of(context, need.field),
            help=remedy if found.support is Support.IMPOSSIBLE else f"not implemented yet: {remedy}",
        )
