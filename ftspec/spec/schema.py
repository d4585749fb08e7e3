"""The JSON Schema of specs, for editors. `python -m ftspec.spec.schema` writes it to schemas/."""

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ftspec.paths import shared_folder
from ftspec.plan.metrics import LATENCY, METRIC_NAMES, metrics_of
from ftspec.spec.base import Section
from ftspec.spec.fields import sections_below
from ftspec.spec.kinds import SPECS

FILE_NAME = "spec.schema.json"
METRIC_PATTERN = rf"^({'|'.join(METRIC_NAMES)})@[1-9][0-9]*$"
_METRICS: dict[str, dict[str, Any]] = {
    "Embedding": {"pattern": METRIC_PATTERN},
    "LLM": {"enum": [traits.name for traits in metrics_of("LLM")]},
}


def spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12): one form for each kind. Titles and descriptions come from the sections'
    docstrings."""
    definitions: dict[str, Any] = {}
    for kind, spec in SPECS.items():
        form = spec.model_json_schema()
        definitions |= form.pop("$defs")
        definitions[spec.__name__] = form
        for section in sections_below(spec):
            _describe(definitions[section.__name__], section)
        metric = _METRICS[kind]
        evaluation = definitions[spec.model_fields["evaluation"].annotation.__name__]  # type: ignore[union-attr]
        evaluation["properties"]["metrics"]["items"] |= metric
        names = [metric, {"const": LATENCY}] if kind == "Embedding" else [metric]
        form["properties"]["gates"]["propertyNames"] = {"anyOf": names}
        form["properties"]["extends"] = _EXTENDS
        form["if"], form["else"] = {"required": ["extends"]}, {"required": form.pop("required")}
    kinds = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{spec.__name__}"},
        }
        for kind, spec in SPECS.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:spec:1",
        "title": "ftspec",
        "type": "object",
        "properties": {"kind": {"title": "kind", "enum": list(SPECS), "description": "What is made."}},
        "if": {"required": ["extends"]},
        "else": {"required": ["apiVersion", "kind"]},
        "allOf": kinds,
        "$defs": definitions,
    }


_EXTENDS = {
    "title": "extends",
    "description": "One file or a list of files, relative to this one, whose values this spec takes over. "
    "Mappings are merged, lists and scalars are replaced, `null` removes what was inherited. Relative paths, "
    "wherever they were written, are relative to the folder of the spec that is given to the command.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ],
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
    texts: dict[str, str] = {}
    for above in section.__bases__:
        if issubclass(above, Section) and above is not Section:
            texts |= field_docstrings(above)
    tree = ast.parse(inspect.getsource(section))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
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
