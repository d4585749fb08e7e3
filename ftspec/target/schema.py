"""The published schema of backends' target.yaml: `python -m ftspec.target.schema` writes it."""

import ast
import inspect
import json
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from ftspec.paths import shared_folder
from ftspec.target.features import FeatureSupport
from ftspec.target.fields import Command, Condition, Emission, FieldCase, FieldLowering, OptionsWhere
from ftspec.target.model import BaseModels, MemoryCosts, TargetFile

FILE = "target.schema.json"


def target_schema() -> str:
    """Descriptions are the strings under the fields. They are read here and not when the classes are
    made (`use_attribute_docstrings`): that would take every plan longer than reading a backend does."""
    schema = TargetFile.model_json_schema()
    _describe(schema, TargetFile)
    for part in (FeatureSupport, FieldLowering, BaseModels, MemoryCosts, Emission):
        _describe(schema["$defs"][part.__name__], part)
    for special in (FieldCase, OptionsWhere, Command):
        _describe(schema["$defs"][special.__name__], Condition)
        _describe(schema["$defs"][special.__name__], special)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe(entry: dict[str, Any], part: type[BaseModel]) -> None:
    body = ast.parse(inspect.getsource(part)).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, following in pairwise(body.body):
        match field, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                described = {**entry["properties"][name], "description": inspect.cleandoc(text)}
                entry["properties"][name] = dict(sorted(described.items()))


if __name__ == "__main__":
    (shared_folder("schemas") / FILE).write_text(target_schema(), encoding="utf-8")
