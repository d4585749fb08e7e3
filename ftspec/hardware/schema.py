"""The published schema of hardware profiles: `python -m ftspec.hardware.schema` writes it."""

import json

from ftspec.hardware.profile import Profile
from ftspec.paths import shared_folder

FILE = "hardware.schema.json"


def hardware_schema() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Profile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (shared_folder("schemas") / FILE).write_text(hardware_schema(), encoding="utf-8")
