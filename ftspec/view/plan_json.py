"""A plan for programs. The head is a contract; the whole plan follows it."""

from collections.abc import Sequence
from typing import Any

from ftspec.plan.codec import plan_document
from ftspec.plan.contract import Contract, contract_part
from ftspec.plan.drift import ModelDrift
from ftspec.plan.model import Plan
from ftspec.plan.text import DRIFT, summary_head
from ftspec.view.drift import relevant_drift


def plan_json(
    plan: Plan, contract: Contract | None = None, drift: Sequence[ModelDrift] = ()
) -> dict[str, Any]:
    """`format_version, digest, spec_hash, semantic_fingerprint, realisation_fingerprint, backend,
    stages [{name, key, action, reason, needs}], decisions [{field, before, after, reason, facts, by,
    place}], fidelity [{field, support, difference}], estimates {peak_memory_bytes, wall_seconds, …}`, then
    all other sections of the plan.

    It is the content of a plan file, so that what is printed can be saved and applied. `contract`, of a saved
    plan, stands last, and before it `drift`, where there is relevant drift of what the spec made before: the
    models of `ftspec drift --format json`, with these findings alone. It is no part of the plan.
    """
    document = plan_document(plan)
    head = summary_head(plan)
    first = {**head, **{key: document[key] for key in ("stages", "decisions", "fidelity", "estimates")}}
    whole = {**first, **{key: value for key, value in document.items() if key not in first}}
    if drift:
        whole[DRIFT] = relevant_drift(drift)
    return whole if contract is None else {**whole, **contract_part(contract, head["digest"])}
