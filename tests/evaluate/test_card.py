"""The model card says what was measured, whichever way it fell, and nothing in it can break out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ftspec.evaluate.card import write_card
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.gates import judge
from ftspec.evaluate.words import markdown_text
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Extension
from tests.example_evidence import WIDTH, example_plan, write_encoding, write_split

ENVIRONMENT = {"torch": "2.13.0", "python": "3.11.9"}


def card(
    folder: Path,
    plan: EmbeddingPlan,
    *,
    base: float = 2.5,
    tuned: float = 1.0,
    extended: Extension | None = None,
) -> tuple[str, dict[str, object]]:
    folder.mkdir(exist_ok=True)
    (folder / "README.md").write_text("made by another library")
    evidence = evaluate(
        plan,
        write_split(folder / "split"),
        write_encoding(folder / "base", noise=base),
        write_encoding(folder / "tuned", noise=tuned),
        folder,
    )
    write_card(folder, plan, evidence, judge(plan, evidence), ENVIRONMENT, extended=extended)
    text = (folder / "README.md").read_text(encoding="utf-8")
    return text, json.loads((folder / "ftspec.json").read_text(encoding="utf-8"))


def front_matter(text: str) -> dict[str, object]:
    _, head, _ = text.split("---\n", 2)
    return YAML(typ="safe", pure=True).load(head)


def test_a_passed_model(tmp_path: Path) -> None:
    text, passport = card(tmp_path, example_plan(slices=("group",), dimensions=(WIDTH, 4)))
    assert "**Verdict: passed.**" in text
    assert "| nDCG@10 |" in text
    assert "another library" not in text
    assert "group: b" in text
    assert "prompt='query: '" in text
    assert passport["verdict"] == "passed"
    assert passport["model"]["similarity"] == "cosine"
    assert passport["environment"] == ENVIRONMENT
    assert str(tmp_path) not in text + json.dumps(passport)
    assert "/nowhere" not in text + json.dumps(passport)


def test_a_failed_model_says_so(tmp_path: Path) -> None:
    text, passport = card(tmp_path, example_plan(), base=1.0, tuned=2.5)
    assert "**Verdict: failed.** A gate failed: the baseline stays in place." in text
    assert "Against its baseline: worse: nDCG@10 -0." in text
    assert passport["verdict"] == "failed"


def test_an_unchanged_model_says_so(tmp_path: Path) -> None:
    text, _ = card(tmp_path, example_plan(), base=1.0, tuned=1.0)
    assert "Against its baseline: the same: nDCG@10 0.000 \\[0.000, 0.000\\] on 40 unseen queries" in text


def test_an_extended_training_says_so(tmp_path: Path) -> None:
    text, passport = card(tmp_path / "a", example_plan())
    assert "Extended" not in text
    assert passport["extended_from"] is None
    extended = Extension(run_id="support_search-1a2b3c4d", step=1)
    text, passport = card(tmp_path / "b", example_plan(), extended=extended)
    assert "**Extended from step 1.**" in text
    assert "run support\\_search-1a2b3c4d" in text
    assert passport["extended_from"] == {"run_id": "support_search-1a2b3c4d", "step": 1}


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    assert card(tmp_path / "a", example_plan()) == card(tmp_path / "b", example_plan())


@pytest.mark.parametrize(
    "evil",
    [
        "a: b\n---\n# heading",
        '"quoted" \\ {{ $( ` | <script>alert(1)</script>',
        "日本語 😀 \u2028 \x85 \x7f \ufeff",
        "- item",
        "1. item",
    ],
)
def test_values_stay_values(tmp_path: Path, evil: str) -> None:
    plan = replace(example_plan(), name=evil, description=evil)
    plan = replace(plan, model=replace(plan.model, base=evil))
    text, passport = card(tmp_path, plan)
    assert front_matter(text)["model_name"] == evil
    assert "base_model" not in front_matter(text)
    assert passport["name"] == evil
    body = text.split("---\n", 2)[2]
    assert "<script" not in body.replace("\\<", "")
    assert body.count("\n# ") == 1


def test_the_base_is_named_by_its_hub_id(tmp_path: Path) -> None:
    plan = example_plan()
    facts = replace(plan.model.facts, origin="hub-cache")
    text, _ = card(tmp_path, replace(plan, model=replace(plan.model, base="org/model-1.0", facts=facts)))
    assert front_matter(text)["base_model"] == "org/model-1.0"
    text, _ = card(tmp_path, replace(plan, model=replace(plan.model, base="folder/model-1.0")))
    assert "base_model" not in front_matter(text)


def test_markdown_text() -> None:
    assert markdown_text("a_b *c*\nd") == "a\\_b \\*c\\* d"
    assert markdown_text("2) x") == "2\\) x"
    assert markdown_text("3.5 GiB") == "3.5 GiB"
