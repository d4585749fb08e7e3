from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ftspec.paths import shared_folder
from ftspec.target.features import Feature, Support, features_of
from ftspec.target.model import Target, TargetFile, dangling_fields, unlowered_fields
from ftspec.target.schema import FILE, target_schema


def target(**changes: Any) -> Target:
    return Target.model_validate(
        {
            "name": "demo",
            "description": "A backend.",
            "kinds": ["Embedding"],
            "devices": ["cuda", "cpu"],
            "packages": {"torch": ">=2.8,<3"},
            "install": "pip install demo",
            "features": {
                "contrastive": "full",
                "triplet": {"support": "approximated", "why": "in halves"},
                "packing": {"support": "impossible", "why": "no such thing"},
                "fp16": {"support": "full", "devices": ["cuda"]},
            },
            "fields": {
                "train.learning_rate": {"native": "Arguments.learning_rate"},
                "model.facts.*": {"ignored": "facts"},
                "model.facts.id": {"native": "name"},
                "data.*": {"ignored": "spent before lowering"},
            },
            "folder": Path("demo"),
            **changes,
        }
    )


def test_support() -> None:
    demo = target()
    assert demo.supports(Feature.CONTRASTIVE)
    assert demo.supports(Feature.TRIPLET)
    assert demo.support_of(Feature.TRIPLET).support is Support.APPROXIMATED
    assert not demo.supports(Feature.PACKING)
    assert demo.support_of(Feature.PACKING).why == "no such thing"
    assert demo.support_of(Feature.LORA).support is Support.NOT_IMPLEMENTED  # not named
    assert demo.support_of(Feature.LORA).why


def test_support_by_device() -> None:
    demo = target()
    assert demo.supports(Feature.FP16)
    assert demo.supports(Feature.FP16, "cuda")
    assert not demo.supports(Feature.FP16, "cpu")
    assert demo.support_of(Feature.FP16, "cpu").why == "only on cuda"


def test_objectives_are_features() -> None:
    for objective in ("contrastive", "triplet", "scored_pairs", "binary_pairs", "labelled_classes"):
        assert Feature(objective)


def test_features_of_kinds() -> None:
    embedding, llm = features_of(["Embedding"]), features_of(["LLM"])
    assert embedding | llm == set(Feature) == features_of(["Embedding", "LLM"])
    assert Feature.LORA in embedding & llm
    assert Feature.MATRYOSHKA not in llm
    assert Feature.QLORA not in embedding
    assert features_of(["Another"]) == set(Feature)  # nothing is known of it


def test_lowering() -> None:
    demo = target()
    leaves = [
        "train.learning_rate",
        "train.seed",
        "model.facts.id",
        "model.facts.digest",
        "data.train[0].path",
    ]
    assert unlowered_fields(demo, leaves) == ["train.seed"]
    exact = demo.lowering_of("model.facts.id")
    assert exact is not None
    assert exact.native == "name"
    assert unlowered_fields(demo, ["data.train.0.path", "database"]) == ["database"]
    assert dangling_fields(demo, leaves) == []
    assert dangling_fields(demo, ["train.learning_rate", "model.facts.id"]) == ["data.*"]


@pytest.mark.parametrize(
    "changes",
    [
        {"features": {"packing": "impossible"}},
        {"features": {"packing": {"support": "not_implemented", "why": " "}}},
        {"features": {"pakking": "full"}},
        {"features": {"packing": "fully"}},
        {"fields": {"train.seed": {}}},
        {"fields": {"train.seed": {"native": "a", "ignored": "b"}}},
        {"fields": {"train.seed": {"ignored": "b", "approximated": "c"}}},
        {"fields": {"train.*.seed": {"native": "a"}}},
        {"devices": []},
        {"devices": ["tpu"]},
        {"kinds": []},
        {"nmae": "x"},
    ],
)
def test_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        target(**changes)


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        target().name = "other"


def test_published_schema_is_fresh() -> None:
    published = (shared_folder("schemas") / FILE).read_text(encoding="utf-8")
    assert published == target_schema(), "run `python -m ftspec.target.schema`"


def test_schema_knows_both_forms_of_support() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = target().model_dump(mode="json", exclude={"folder"}, exclude_none=True)
    document["features"]["lora"] = "full"
    schema = TargetFile.model_json_schema()
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "features": {"lora": "some"}}, schema)
