"""A language model from its spec to evidence, by each backend that runs in this environment."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from ftspec.paths import shared_folder
from tests.e2e.harness import apply, ftspec, ftspec_json, sql
from tests.e2e.test_apply import schema

pytestmark = pytest.mark.slow

STAGES = [
    "ingest", "split", "tokenize", "score_base", "train", "score_tuned", "evaluate", "gate", "register",
]  # fmt: skip


@pytest.fixture(scope="module", params=["trl", "mlx"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of kind LLM in a project of their own, with one backend chosen."""
    folder = tmp_path_factory.mktemp(request.param) / "project"
    shutil.copytree(shared_folder("specs"), folder)
    (folder / ".ftspec").mkdir()
    spec = folder / "llm-completion.yaml"
    wishes = f"resources:\n  backend: {request.param}\n  limits:\n    threads: 1\n"
    spec.write_text(spec.read_text(encoding="utf-8") + wishes, encoding="utf-8")
    return folder


def test_from_spec_to_evidence(project: Path) -> None:
    backend = "trl" if "backend: trl" in (project / "llm-completion.yaml").read_text() else "mlx"
    plan = ftspec_json("plan", "llm-completion.yaml", cwd=project)
    jsonschema.validate(plan, schema("plan"))
    assert (plan["kind"], plan["backend"]) == ("LLM", backend)
    assert [stage["name"] for stage in plan["stages"]] == STAGES
    assert {entry["support"] for entry in plan["fidelity"]} <= {"exact", "approximated", "impossible"}

    result = apply(project, subject="llm-completion.yaml")
    assert result["verdict"] == "passed", result
    assert result["metrics"]["tuned"]["loss"] < result["metrics"]["base"]["loss"]
    evidence = ftspec_json("eval", "llm-completion", cwd=project)
    loss = next(metric for metric in evidence["metrics"] if metric["metric"] == "loss")
    assert loss["gain"]["mean"] > 0, "a gain is an improvement"

    again = ftspec_json("plan", "llm-completion.yaml", cwd=project)
    assert {stage["action"] for stage in again["stages"]} == {"reuse"}
    rows = sql("select variant, metric, count(*) as n from query_scores group by all order by all", project)
    assert {(row["variant"], row["metric"], row["n"]) for row in rows} == {
        (variant, metric, plan["data"]["facts"]["test_rows"])
        for variant in ("base", "tuned")
        for metric in ("loss", "token_f1")
    }
    assert "agree" in ftspec("state", "verify", cwd=project).stdout


def test_the_model_is_managed_and_loads_again(project: Path) -> None:
    shown = ftspec_json("models", "show", "llm-completion", cwd=project)
    assert shown["kind"] == "LLM"
    ftspec("models", "export", "llm-completion", "--form", "adapter", "--to", "out/adapter", cwd=project)
    ftspec("models", "export", "llm-completion", "--form", "merged", "--to", "out/merged", cwd=project)
    assert any((project / "out" / "adapter").glob("*.safetensors"))
    config = json.loads((project / "out" / "merged" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "qwen2"
    card = (project / "out" / "merged" / "README.md").read_text(encoding="utf-8")
    assert "0.1 M parameters" in card

    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged = AutoModelForCausalLM.from_pretrained(project / "out" / "merged")
    tokenizer = AutoTokenizer.from_pretrained(project / "out" / "merged")
    ids = tokenizer("Not found", return_tensors="pt").input_ids
    assert merged(ids).logits.shape[-1] == merged.config.vocab_size
    refused = ftspec("query", "llm-completion", "anything", cwd=project, exits=1)
    assert "FTS641" in refused.stderr
