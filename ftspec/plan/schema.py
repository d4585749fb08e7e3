"""The published JSON Schema of plan files."""

from typing import Any

from pydantic import TypeAdapter

from ftspec.plan.contract import Contract
from ftspec.plan.kinds import PLAN_TYPES

HEAD = {
    "digest": "sha256 over everything in the plan but places, estimates and the state of the store.",
    "semantic_fingerprint": "Of what decides the weights that come out.",
    "realisation_fingerprint": "Of how this machine gets there.",
    "backend": "Name of the chosen backend, as in execution.backend.",
}

_OPTIONAL = {
    "contract": {"$ref": "#/$defs/Contract", "description": "Of a plan file: the state that it was made in."},
    "contract_digest": {"type": "string", "description": "Binds the contract to the plan."},
    "drift": {
        "type": "array",
        "items": {"type": "object"},
        "description": "Of `ftspec plan`: models that the spec made before, with what is relevant of their drift.",
    },
}


def plan_schema() -> dict[str, Any]:
    """Schema of `ftspec plan --format json` and of plan files: one form for each kind."""
    _, schema = TypeAdapter.json_schemas(
        [(kind, "serialization", TypeAdapter(plan_type)) for kind, plan_type in PLAN_TYPES.items()]
    )
    definitions: dict[str, Any] = schema["$defs"]
    definitions |= _contract()
    for kind, plan_type in PLAN_TYPES.items():
        form = definitions[plan_type.__name__]
        form["properties"] |= {
            name: {"type": "string", "description": description} for name, description in HEAD.items()
        }
        form["properties"]["kind"] = {"const": kind}
        form["properties"] |= _OPTIONAL
        form["required"] = sorted({*form["required"], *HEAD, "format_version"})
        form["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:plan:1",
        "title": "ftspec plan",
        "oneOf": [{"$ref": f"#/$defs/{plan_type.__name__}"} for plan_type in PLAN_TYPES.values()],
        "$defs": definitions,
    }


def _contract() -> dict[str, Any]:
    """Definitions of what a plan file says beside the plan."""
    schema = TypeAdapter(Contract).json_schema(mode="serialization")
    definitions: dict[str, Any] = schema.pop("$defs")
    schema["properties"]["spec"] = {"type": "object", "description": "The canonical spec."}
    schema["additionalProperties"] = False
    return {**definitions, "Contract": schema}
