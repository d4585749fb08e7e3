"""A plan for programs. The head is a contract; the whole plan follows it."""

from typing import Any

from ftspec.plan.codec import plan_document
from ftspec.plan.model import Plan
from ftspec.plan.text import summary_head


def plan_json(plan: Plan) -> dict[str, Any]:
    """`format_version, digest, spec_hash, semantic_fingerprint, realisation_fingerprint, backend,
    stages [{name, key, action, reason, needs}], decisions [{field, before, after, reason, facts, by,
    place}], fidelity [{field, support, difference}], estimates {peak_memory_bytes, wall_seconds, …}`, then
    all other sections of the plan.

    It is the content of a plan file, so that what is printed can be saved and applied.
    """
    document = plan_document(plan)
    head = summary_head(plan)
    contract = {**head, **{key: document[key] for key in ("stages", "decisions", "fidelity", "estimates")}}
    return {**contract, **{key: value for key, value in document.items() if key not in contract}}
