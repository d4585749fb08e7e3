"""Strings that shells, templates and parsers trip over, wherever a spec takes a string."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import SPEC, apply, ftspec, ftspec_json, rows, sql, write_project, write_rows

pytestmark = pytest.mark.slow

ODD = "\"quoted\" 'single' `touch pwned` $(touch pwned) {{ 1/0 }} {% raw %} ${HOME} \\ \n# two lines: Größe 検索 🦆"
FILE = "rows 'single' $(touch pwned) {{ x }} 検索.jsonl"
MODEL = 'tiny "model" $(touch pwned)'

PROMPTS = {"query": 'find {{ x }} "$(touch pwned)"\n', "document": "検索 'text': "}


def odd_spec() -> str:
    spec = (
        SPEC.replace("max_steps: 200", "max_steps: 5")
        .replace("resamples: 100000", "resamples: 200")
        .replace("min: 0.05", "min: 0")
    )
    spec = spec.replace("path: rows.jsonl", f"path: {json.dumps(FILE)}").replace(
        "./tiny", json.dumps(f"./{MODEL}")
    )
    metadata = {"name": "odd", "description": ODD, "labels": {"team": ODD, "{{ x }}": "$(touch pwned)"}}
    spec = spec.replace("metadata:\n  name: tiny\n", f"metadata: {json.dumps(metadata)}\n")
    spec = spec.replace("max_seq_length: 32", f"max_seq_length: 64\n  prompts: {json.dumps(PROMPTS)}")
    # Five steps with such prompts hardly tell texts apart, which is not the point here.
    return spec.replace("  save_steps", '  checks: {rising_loss: "off", collapse: "off"}\n  save_steps')


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(
        tmp_path_factory.mktemp("odd") / "pro'ject {{ y }} $(touch pwned)", tiny_model, odd_spec()
    )
    (folder / "tiny").rename(folder / MODEL)
    (folder / "spec.yaml").rename(folder / 'a "spec" $(touch pwned).yaml')
    (folder / "rows.jsonl").unlink()
    pairs = rows()
    pairs[0]["question"] += f" {ODD}"
    pairs[1]["text"] += f" {ODD}"
    pairs[2]["color"] = ODD
    write_rows(folder / FILE, pairs)
    return folder


def test_they_plan_and_apply(folder: Path) -> None:
    spec = 'a "spec" $(touch pwned).yaml'
    for format_ in ("human", "markdown"):
        ftspec("plan", spec, "--format", format_, cwd=folder)
    plan = ftspec_json("plan", spec, cwd=folder)
    assert plan["model"]["prompts"] == PROMPTS
    ftspec("explain", spec, "model.prompts.query", cwd=folder)

    result = apply(folder, subject=spec)
    model = Path(result["model_path"])
    prompts = json.loads((model / "config_sentence_transformers.json").read_text(encoding="utf-8"))["prompts"]
    assert prompts == PROMPTS
    json.loads((model / "ftspec.json").read_text(encoding="utf-8"))
    assert "検索" in (model / "README.md").read_text(encoding="utf-8")
    ftspec("eval", result["run_id"], cwd=folder)
    assert ftspec_json("models", "show", "odd", cwd=folder)["passport"]
    assert len(sql("select distinct query_id from query_scores", folder)) == 18
    assert apply(folder, subject=spec)["verdict"] == "unchanged"


def test_nothing_in_them_was_executed(folder: Path) -> None:
    assert (folder / ".ftspec/ftspec.duckdb").exists()
    places = [folder.parent, Path.cwd()]
    assert [path for place in places for path in place.glob("pwned")] == []
    assert list(folder.rglob("pwned")) == []
