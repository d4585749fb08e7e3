"""Exit codes, the same for every command."""

from collections.abc import Iterable

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic

DONE = 0
ERROR = 1
CHANGES = 2  # only with --detailed-exitcode
STALE_PLAN = 3
LOCKED = 4
GATE_FAILED = 5
INCONCLUSIVE = 6
USAGE = 64  # click's own 2 means changes here
INTERRUPTED = 130

_OF_CODE = {
    codes.STALE_PLAN.id: STALE_PLAN,
    codes.PLAN_EDITED.id: STALE_PLAN,
    codes.LOCKED.id: LOCKED,
    codes.LEASE_LOST.id: LOCKED,
    codes.ENVIRONMENT_MOVED.id: LOCKED,
    codes.GATE_FAILED.id: GATE_FAILED,
    codes.GATE_INCONCLUSIVE.id: INCONCLUSIVE,
    codes.INTERRUPTED.id: INTERRUPTED,
}

OF_VERDICT = {"passed": DONE, "failed": GATE_FAILED, "inconclusive": INCONCLUSIVE}


def exit_code(diagnostics: Iterable[Diagnostic]) -> int:
    """The code of the first error that has one of its own; 1 for other errors, 0 without errors."""
    errors = [item for item in diagnostics if item.is_error]
    own = [_OF_CODE[item.code.id] for item in errors if item.code.id in _OF_CODE]
    return own[0] if own else ERROR if errors else DONE
