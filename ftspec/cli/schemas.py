"""All published schemas at once: `python -m ftspec.cli.schemas` writes the folder schemas/."""

import json
from pathlib import Path

from ftspec.hardware.schema import hardware_schema
from ftspec.paths import shared_folder
from ftspec.plan.schema import plan_schema
from ftspec.spec.schema import spec_schema
from ftspec.target.schema import target_schema
from ftspec.view.diagnostics_json import diagnostics_schema
from ftspec.view.result import result_schema


def schema_texts() -> dict[str, str]:
    """Name → text of each schema file."""
    schemas = {
        "diagnostics": diagnostics_schema(),
        "plan": plan_schema(),
        "result": result_schema(),
        "spec": spec_schema(),
    }
    texts = {
        name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()
    }
    return {**texts, "hardware": hardware_schema(), "target": target_schema()}


def write_schemas(folder: Path) -> None:
    for name, text in schema_texts().items():
        (folder / f"{name}.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(shared_folder("schemas"))
