"""The JSON Schema of specs, for editors. `python -m ftspec.spec.schema` writes it to schemas/."""

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ftspec.paths import shared_folder
from ftspec.plan.metrics import LATENCY, METRIC_NAMES
from ftspec.spec.base import Section
from ftspec.spec.fields import sections_below
from ftspec.spec.spec import EmbeddingSpec

FILE_NAME = "spec.schema.json"
METRIC_PATTERN = rf"^({'|'.join(METRIC_NAMES)})@[1-9][0-9]*$"


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12). Titles and descriptions come from the sections' docstrings."""
    schema = EmbeddingSpec.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    for section in sections_below(EmbeddingSpec):
        target = schema if section is EmbeddingSpec else definitions[section.__name__]
        _describe(target, section)
    properties = schema["properties"]
    properties["extends"] = {
        "title": "extends",
        "description": "One file or a list of files, relative to this one, whose values this spec takes over. "
        "Mappings are merged, lists and scalars are replaced, `null` removes what was inherited. Relative paths, "
        "wherever they were written, are relative to the folder of the spec that is given to the command.",
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ],
    }
    properties["gates"]["propertyNames"] = {"anyOf": [{"pattern": METRIC_PATTERN}, {"const": LATENCY}]}
    definitions["Evaluation"]["properties"]["metrics"]["items"]["pattern"] = METRIC_PATTERN
    required = schema.pop("required")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:spec:1",
        **schema,
        "if": {"required": ["extends"]},
        "else": {"required": required},
        "$defs": definitions,
    }


def schema_text() -> str:
    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(folder: Path) -> Path:
    """Writes the schema into `folder`."""
    path = folder / FILE_NAME
    path.write_text(schema_text(), encoding="utf-8")
    return path


def _describe(target: dict[str, Any], section: type[Section]) -> None:
    target["title"] = section.__name__
    if section.__doc__ and section.__doc__ != BaseModel.__doc__:
        target["description"] = inspect.cleandoc(section.__doc__)
    texts = field_docstrings(section)
    for name, entry in target["properties"].items():
        entry["title"] = name
        entry["description"] = texts[name]


def field_docstrings(section: type[Section]) -> dict[str, str]:
    """The string under each field of the class. `type` needs none: the class's own docstring says it."""
    tree = ast.parse(inspect.getsource(section))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            texts[statement.target.id] = inspect.cleandoc(following.value.value)
    if "type" in section.model_fields and section.__doc__:
        texts.setdefault("type", inspect.cleandoc(section.__doc__))
    missing = section.model_fields.keys() - texts.keys()
    assert not missing, f"{section.__name__}: no docstring under {', '.join(sorted(missing))}"
    return texts


if __name__ == "__main__":
    sys.stdout.write(f"{write_schema(shared_folder('schemas'))}\n")
