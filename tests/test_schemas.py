"""The published schemas are what the code says, and they accept what the code writes."""

import json

import jsonschema
import pytest

from ftspec.cli.schemas import schema_texts
from ftspec.paths import shared_folder


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_schema_is_fresh_and_valid(name: str) -> None:
    text = schema_texts()[name]
    path = shared_folder("schemas") / f"{name}.schema.json"
    assert path.read_text(encoding="utf-8") == text, "run `poe schemas`"

    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_no_schema_is_left_over() -> None:
    names = {path.name.removesuffix(".schema.json") for path in shared_folder("schemas").iterdir()}
    assert names == set(schema_texts())
