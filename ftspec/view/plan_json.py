"""A plan for programs. The head is a contract; the whole plan follows it."""

from typing import Any

from ftspec.plan.codec import plan_document
from ftspec.plan.contract import Contract, contract_part
from ftspec.plan.model import Plan
from ftspec.plan.text import summary_head


def plan_json(plan: Plan, contract: Contract | None = None) -> dict[str, Any]:
    """`format_version, digest, spec_hash, semantic_fingerprint, realisation_fingerprint, backend,
    stages [{name, key, action, reason, needs}], decisions [{field, before, after, reason, facts, by,
    place}], fidelity [{field, support, difference}], estimates {peak_memory_bytes, wall_seconds, …}`, then
    all other sections of the plan.

    It is the content of a plan file, so that what is printed can be saved and applied. `contract`, of a saved
    plan, stands last.
    """
    document = plan_document(plan)
    head = summary_head(plan)
    first = {**head, **{key: document[key] for key in ("stages", "decisions", "fidelity", "estimates")}}
    whole = {**first, **{key: value for key, value in document.items() if key not in first}}
    return whole if contract is None else {**whole, **contract_part(contract, head["digest"])}
