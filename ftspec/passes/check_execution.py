"""Every feature that the decided execution rests on is one that the backend has on this device."""

from collections.abc import Iterator

from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.check_features import judge
from ftspec.passes.context import Context
from ftspec.passes.features import machine_features
from ftspec.plan.model import Plan, Rewrite


def check_execution(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Speaks of what the user gave: passes themselves choose only what the backend supports."""
    yield from judge(plan, context, machine_features(plan))
