import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spec_text
from jsonschema import Draft202012Validator

from ftspec.paths import shared_folder
from ftspec.source.load import load_document
from ftspec.spec.fields import key_places
from ftspec.spec.foreign import FOREIGN, FOREIGN_LLM
from ftspec.spec.kinds import SPECS
from ftspec.spec.schema import FILE_NAME, schema_text, spec_schema

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))


def test_published_schema_is_fresh() -> None:
    published = (shared_folder("schemas") / FILE_NAME).read_text(encoding="utf-8")
    assert published == schema_text(), "run `python -m ftspec.spec.schema`"


def properties(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, entry in schema.get("properties", {}).items():
            yield f"{place}/{name}", entry
        for name, below in schema.items():
            yield from properties(below, f"{place}/{name}")
    elif isinstance(schema, list):
        for below in schema:
            yield from properties(below, place)


def test_every_key_has_title_and_description() -> None:
    found = [
        (place, entry)
        for place, entry in properties(spec_schema())
        if "properties/type" not in place and "/if/" not in place
    ]
    assert len(found) > 80
    bare = [
        place
        for place, entry in found
        if isinstance(entry, dict) and not (entry.get("description") and entry.get("title"))
    ]
    assert bare == []


def test_schema_is_valid_and_agrees_with_the_checks(tmp_path: Path) -> None:
    schema = spec_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(spec_text.FULL)
    for change in (
        {"kind": "x"},
        {"unknown": 1},
        {"gates": {"bleu": {}}},
        {"evaluation": {"metrics": ["x"]}},
    ):
        assert not validator.is_valid(json.loads(json.dumps(spec_text.FULL)) | change)
    assert not validator.is_valid({"apiVersion": "ftspec/v1"})
    assert validator.is_valid({"apiVersion": "ftspec/v1", "extends": "base.yaml"})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_match_the_schema_and_name_it(path: Path) -> None:
    document, _ = load_document(path)
    assert document is not None
    Draft202012Validator(spec_schema()).validate(document.tree)
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=")


def test_foreign_names_point_at_keys_that_exist() -> None:
    places = {
        place.replace("[]", "") for kind in SPECS for found in key_places(kind).values() for place in found
    }
    ends = {place.split(".", 1)[1] if place.startswith("data.train.") else place for place in places}
    for name, foreign in (FOREIGN | FOREIGN_LLM).items():
        if foreign.here:
            assert foreign.here in places | {end.removeprefix("train.") for end in ends}, (
                f"{name} -> {foreign.here}"
            )
        else:
            assert foreign.note
