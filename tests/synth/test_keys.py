"""Which keys of `synthesize` change a plan: what decides the words must be written anew, the rest does not count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.spec.synthesize import Example, Judge, Prices, Synthesize
from tests.synth.scripted_server import Server, good_model

DOCUMENTS = [f"The {animal} number {n} lives in the {place} and eats {food}." for n in range(4)
             for animal, place, food in (("heron", "reeds", "frogs"), ("badger", "wood", "worms"),
                                         ("otter", "river", "fish"), ("vole", "meadow", "roots"))]  # fmt: skip
SPEC = """\
apiVersion: ftspec/v1
kind: Embedding
metadata: {{name: docs}}
model: {{base: all-MiniLM-L6-v2}}
data:
  train:
    - type: documents
      path: docs.jsonl
      synthesize: {synthesize}
train: {{objective: {{type: contrastive}}, global_batch_size: 4}}
"""
# Key -> another value. These decide what is written, or what of it is kept.
WRITTEN_ANEW = {
    "model": "other:7b",
    "per_document": 2,
    "limit": 9,
    "instruction": "Ask like a child.",
    "examples": [{"document": "a", "question": "b"}],
    "temperature": 0.1,
    "seed": 14,
    "max_tokens": 100,
    "max_document_chars": 30,
    "judge": {"min_score": 5},
    "round_trip": True,
}
COSMETIC = {
    "api": "openai",
    "api_key": "${env:KEY_OF_THE_TEST}",
    "timeout_seconds": 21,
    "concurrency": 2,
    "prices": {"input": 1.0, "output": 2.0},
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Server]) -> Callable[..., Any]:
    """`plan(**synthesize)`: the plan as JSON, or what is told instead; queries are written beforehand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY_OF_THE_TEST", "none")
    (tmp_path / ".ftspec").mkdir()
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS))
    server = serve(good_model)
    base = {"model": "good:latest", "endpoint": server.url, "api": "ollama", "timeout_seconds": 20}

    def write(**changes: Any) -> None:
        text = SPEC.format(synthesize=json.dumps(base | changes))
        (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")

    def run(**changes: Any) -> Any:
        write(**changes)
        result = CliRunner().invoke(
            cli, ["plan", "spec.yaml", "--hardware", "laptop-cpu", "--format", "json"]
        )
        return json.loads(result.stdout) if result.exit_code == 0 else result.stderr

    assert "FTS750" in run(), "nothing is written yet"
    assert CliRunner().invoke(cli, ["synth", "spec.yaml"]).exit_code == 0
    return run


def test_the_table_has_every_key() -> None:
    assert {*WRITTEN_ANEW, *COSMETIC, "endpoint"} == set(Synthesize.model_fields)
    assert not {"model", "min_score"} ^ set(Judge.model_fields)
    assert not {"document", "question"} ^ set(Example.model_fields)
    assert not {"input", "output"} ^ set(Prices.model_fields)


def test_each_key_counts_or_does_not(plan: Callable[..., Any]) -> None:
    before = plan()
    assert before["data"]["facts"]["train_rows"] > 0
    for key, value in WRITTEN_ANEW.items():
        after = plan(**{key: value})
        if isinstance(after, str):
            assert "FTS750" in after, key
        else:  # less is kept of what was written already
            assert key in ("per_document", "limit", "round_trip", "max_document_chars"), key
            assert (
                after["semantic_fingerprint"] != before["semantic_fingerprint"]
                or after["spec_hash"] != before["spec_hash"]
            )
    for key, value in COSMETIC.items():
        after = plan(**{key: value})
        assert after["semantic_fingerprint"] == before["semantic_fingerprint"], key
        assert [stage["key"] for stage in after["stages"]] == [stage["key"] for stage in before["stages"]], (
            key
        )
