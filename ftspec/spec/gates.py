"""The gates that a spec comes to: nothing ships that did not beat its own baseline."""

from ftspec.plan.metrics import DEFAULT_CONFIDENCE
from ftspec.spec.evaluation import Gate
from ftspec.spec.kinds import AnySpec


def effective_gates(spec: AnySpec) -> dict[str, Gate]:
    """The gates as written; where none asks for a gain, the primary metric must gain.

    `min_gain: -0.01` in any gate is the way to allow a loss, visibly.
    """
    gates = dict(spec.gates)
    if all(gate.min_gain is None for gate in gates.values()):
        primary = spec.evaluation.metrics[0]
        gates[primary] = gates.get(primary, Gate()).model_copy(update={"min_gain": 0.0})
    return {metric: _with_confidence(gate) for metric, gate in gates.items()}


def _with_confidence(gate: Gate) -> Gate:
    """A gain is always asked of an interval. Beside a `min` or `max`, which may be asked of the mean, the
    confidence stays open, and only the gain is judged at the default."""
    if gate.min_gain is None or gate.confidence is not None or gate.min is not None or gate.max is not None:
        return gate
    return gate.model_copy(update={"confidence": DEFAULT_CONFIDENCE})
