"""The published JSON Schema of plan files."""

from typing import Any

from pydantic import TypeAdapter

from ftspec.plan.model import Plan

HEAD = {
    "digest": "sha256 over everything in the plan but places, estimates and the state of the store.",
    "semantic_fingerprint": "Of what decides the weights that come out.",
    "realisation_fingerprint": "Of how this machine gets there.",
    "backend": "Name of the chosen backend, as in execution.backend.",
}


def plan_schema() -> dict[str, Any]:
    """Schema of `ftspec plan --format json` and of plan files."""
    schema = TypeAdapter(Plan).json_schema(mode="serialization")
    schema["properties"] |= {
        name: {"type": "string", "description": description} for name, description in HEAD.items()
    }
    schema["required"] = sorted({*schema["required"], *HEAD, "format_version"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:plan:1",
        **schema,
        "title": "ftspec plan",
        "additionalProperties": False,
    }
