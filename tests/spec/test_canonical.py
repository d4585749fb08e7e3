import json
import random
from pathlib import Path
from typing import Any

import pytest
import spec_text
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.source.document import Document
from ftspec.source.format import format_text
from ftspec.source.load import load_document
from ftspec.source.parse import parse_yaml
from ftspec.source.text import SourceText
from ftspec.spec.canonical import spec_hash
from ftspec.spec.check import check_spec
from ftspec.spec.spec import EmbeddingSpec


def hash_of(text: str) -> str:
    from ftspec.diagnostics.model import Diagnostics

    found = Diagnostics()
    root = parse_yaml(SourceText(path="spec.yaml", text=text), found)
    assert root is not None, list(found)
    spec, faults = check_spec(Document(Path("spec.yaml"), root, damaged=found.has_errors))
    assert spec is not None, list(faults)
    return spec_hash(spec)


def written(value: Any, draw: random.Random, indent: int = 0) -> str:
    """`value` as YAML in one of many ways: order, quoting, flow or block, comments, blank lines."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        items = list(value.items())
        draw.shuffle(items)
        out = ""
        for name, child in items:
            key = draw.choice([name, json.dumps(name), f"'{name}'"])
            comment = draw.choice(["", "", "# a comment\n", "\n"])
            out += f"\n{comment}{' ' * indent}{key}: {written(child, draw, indent + draw.choice([1, 2, 4]))}"
        return out
    if isinstance(value, list) and value and draw.random() < 0.5:
        return "".join(f"\n{' ' * indent}- {json.dumps(child)}" for child in value)
    if (
        isinstance(value, str)
        and value.replace("-", "").isalpha()
        and value.lower() not in ("true", "false", "null")
    ):
        return draw.choice([value, json.dumps(value), f"'{value}'", f"{value}  # so"])
    if isinstance(value, float) and value.is_integer():
        return draw.choice([str(value), str(int(value)), f"{value:e}"]) if draw.random() < 0.5 else str(value)
    return json.dumps(value)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(json.dumps(spec_text.FULL))
    for section in ("evaluation", "gates", "resources", "export"):
        if draw(st.booleans()):
            spec.pop(section, None)
            if section == "evaluation":
                spec.pop("gates", None)
    spec["train"]["learning_rate"] = draw(st.floats(1e-8, 1, allow_nan=False))
    spec["train"]["seed"] = draw(st.integers(0, 2**32 - 1))
    spec["train"]["num_train_epochs"] = draw(st.sampled_from([1.0, 2.0, 0.5]))
    spec["metadata"]["description"] = draw(st.text(max_size=30))
    spec["model"]["prompts"]["document"] = draw(st.text(alphabet="{}$()'\"\n é日: #", max_size=10))
    return spec


@settings(max_examples=60, deadline=None)
@given(specs(), st.integers(0, 2**32))
def test_writing_makes_no_difference(spec: dict[str, Any], seed: int) -> None:
    plain = hash_of(json.dumps(spec))
    text = written(spec, random.Random(seed)).lstrip("\n") + "\n"
    assert hash_of(text) == plain
    assert hash_of(format_text(text)) == plain


@settings(max_examples=30, deadline=None)
@given(specs())
def test_spelled_out_defaults_make_no_difference(spec: dict[str, Any]) -> None:
    full = EmbeddingSpec.model_validate(spec).model_dump(mode="json")
    assert hash_of(json.dumps(full)) == hash_of(json.dumps(spec))


@pytest.mark.parametrize(
    "override",
    [
        "train.num_train_epochs=1",
        "train.warmup_ratio=0.1",
        "gates.ndcg@10={min_gain: 0}",
        "gates.ndcg@10={min_gain: 0.0, confidence: 0.95}",
        "model.freeze={}",
        "data.evaluation=[]",
        "resources={}",
        "train.weight_decay=-0.0",
        "model.revision=null",
    ],
)
def test_defaults_that_depend_on_other_keys(tmp_path: Path, override: str) -> None:
    (tmp_path / "spec.yaml").write_text(spec_text.MINIMAL)
    document, _ = load_document(tmp_path / "spec.yaml", [override])
    assert document is not None
    spec, found = check_spec(document)
    assert spec is not None, list(found)
    assert spec_hash(spec) == hash_of(spec_text.MINIMAL)


def test_every_leaf_counts() -> None:
    """A changed value gives another hash, wherever it stands."""
    plain = hash_of(json.dumps(spec_text.FULL))
    other = {
        "name": "x",
        "learning_rate": 2e-5,
        "seed": 4,
        "path": "z",
        "temperature": 0.2,
        "test": 0.3,
        "p95_max": 9,
    }
    seen = {plain}
    for path in spec_text.paths_of(spec_text.FULL):
        changed = json.loads(json.dumps(spec_text.FULL))
        place = changed
        for step in path[:-1]:
            place = place[step]
        if path[-1] in other:
            place[path[-1]] = other[path[-1]]
            seen.add(hash_of(json.dumps(changed)))
    assert len(seen) == 1 + sum(path[-1] in other for path in spec_text.paths_of(spec_text.FULL))
