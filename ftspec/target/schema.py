"""The published schema of backends' target.yaml: `python -m ftspec.target.schema` writes it."""

import json

from ftspec.paths import shared_folder
from ftspec.target.model import TargetFile

FILE = "target.schema.json"


def target_schema() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **TargetFile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (shared_folder("schemas") / FILE).write_text(target_schema(), encoding="utf-8")
