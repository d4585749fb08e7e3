"""Versions of LLMs: adapters and merged models, and what may be done with them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.models import models_command
from ftspec.diagnostics.model import FtspecError
from ftspec.driver.register import assemble_model, register
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.gates import judge
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.serve.export import export_model
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel, find_model_version
from tests.example_text import ROWS, example_text_plan, write_scores, write_text_split

PARITY = {
    "max_abs_logit_difference": 0.004,
    "mean_abs_logit_difference": 0.0005,
    "argmax_agreement": 0.999,
    "tolerance": 0.05,
    "rows": 4,
}


def write_train(folder: Path, *, merged: bool, adapter: str | None, warm: bool = False) -> Path:
    """The artefact of a train stage."""
    folder.mkdir(parents=True)
    info = {"warm_started": warm, "parity": PARITY if merged and adapter else None, "steps": 10}
    (folder / "info.json").write_text(json.dumps(info))
    (folder / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    if merged:
        (folder / "model").mkdir()
        (folder / "model/config.json").write_text("{}")
        (folder / "model/model.safetensors").write_text("weights")
        (folder / "model/README.md").write_text("made by another library")
    if adapter:
        (folder / "adapter").mkdir()
        (folder / "adapter" / adapter).write_text("delta")
        (folder / "adapter/adapter_config.json").write_text("{}")
    return folder


def make_version(
    project: Project,
    root: Path,
    plan: LlmPlan,
    *,
    merged: bool,
    adapter: str | None = "adapter_model.safetensors",
    warm: bool = False,
) -> RegisteredModel:
    """Register what a run would: returns the version."""
    for name in ("evaluate", "note"):
        (root / name).mkdir(parents=True)
    evidence = evaluate(
        plan,
        write_text_split(root / "split"),
        write_scores(root / "base", [2.0] * ROWS, ["nothing"] * ROWS),
        write_scores(root / "tuned", [1.5] * ROWS, ["something"] * ROWS),
        root / "evaluate",
    )
    verdict = judge(plan, evidence)
    train = write_train(root / "train", merged=merged, adapter=adapter, warm=warm)
    folder = root / "model"
    assemble_model(folder, train, plan, evidence, verdict, {"torch": "2.13.0"})
    version = register(
        project,
        plan,
        folder,
        verdict,
        key=f"key of {root.name}",
        run_id="example-run",
        plan_digest="sha256:1",
        metrics={"base": {"loss": 2.0}, "tuned": {"loss": 1.5}},
        out=root / "note",
    )
    assert version is not None
    return version


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.create()
    return project


def invoke(project: Project, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(
        models_command, [*arguments, "--project", str(project.root)]
    )


def passport(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "ftspec.json").read_text(encoding="utf-8"))
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_merged_version_holds_both(project: Project, tmp_path: Path) -> None:
    version = make_version(project, tmp_path / "a", example_text_plan(), merged=True)
    assert names(version.path) == [
        "README.md", "adapter", "config.json", "ftspec.json", "model.safetensors", "training_log.jsonl",
    ]  # fmt: skip
    assert (version.kind, version.is_whole) == ("LLM", True)
    assert version.adapter == version.path / "adapter"
    document = passport(version.path)
    assert document["kind"] == "LLM"
    assert document["model"]["merged"] is True
    assert document["adapter"]["format"] == "peft"
    assert document["adapter"]["digest"].startswith("sha256:")
    assert document["parity"] == PARITY
    assert document["base"]["digest"] == example_text_plan().model.facts.digest


def test_the_card_of_a_merged_model(project: Project, tmp_path: Path) -> None:
    plan = example_text_plan()
    text = (make_version(project, tmp_path / "a", plan, merged=True).path / "README.md").read_text()
    assert "library_name: transformers" in text
    assert "another library" not in text
    assert 'AutoModelForCausalLM.from_pretrained("path/to/this/folder")' in text
    assert 'PeftModel.from_pretrained(base, "path/to/this/folder/adapter")' in text
    assert "| loss | 2.000 | 1.500 | better by 0.500 |" in text
    assert "40 held-out rows with 160 trained tokens" in text
    assert "4 distractors chosen by bm25" in text
    assert "shown in 80 % of the rows" in text
    assert "are extractive" in text
    assert "logits differ by 0.004 at most (0.05 is allowed)" in text
    assert "99.90 % of the next tokens are the same" in text
    assert "| target modules | q\\_proj, v\\_proj |" in text
    assert plan.model.facts.digest in text
    assert "Warm start" not in text
    assert str(tmp_path) not in text
    assert "/nowhere" not in text


def test_the_card_of_an_adapter(project: Project, tmp_path: Path) -> None:
    plan = example_text_plan(merge=False, generate_rows=ROWS)
    plan = replace(plan, model=replace(plan.model, quantization_bits=4))
    version = make_version(
        project, tmp_path / "a", plan, merged=False, adapter="adapters.safetensors", warm=True
    )
    assert names(version.path) == ["README.md", "adapter", "ftspec.json", "training_log.jsonl"]
    assert not version.is_whole
    text = (version.path / "README.md").read_text()
    assert "library_name: mlx" in text
    assert "model, tokenizer = load('path/to/the/base', adapter_path=\"path/to/this/folder/adapter\")" in text
    assert "**Warm start**" in text
    assert "trained on a base of 4 bits" in text
    assert "Merged weights" not in text
    assert passport(version.path)["parity"] is None
    assert passport(version.path)["training"]["warm_started"] is True


def test_the_card_of_a_full_model_with_losses_alone(project: Project, tmp_path: Path) -> None:
    plan = example_text_plan(adapter=AdapterPlan(type="full"), raft=False, metrics=("loss",))
    version = make_version(project, tmp_path / "a", plan, merged=True, adapter=None)
    text = (version.path / "README.md").read_text()
    assert "none: all weights were trained" in text
    assert "No answer was generated" in text
    assert "PeftModel" not in text
    assert passport(version.path)["adapter"] is None
    assert version.adapter is None


def test_list_and_show(project: Project, tmp_path: Path) -> None:
    make_version(project, tmp_path / "a", example_text_plan(merge=False), merged=False)
    make_version(project, tmp_path / "b", example_text_plan(), merged=True)
    listed = invoke(project, "list").stdout
    assert "merged + adapter" in listed
    assert "better by 0.500" in listed
    documents = json.loads(invoke(project, "list", "--format", "json").stdout)
    assert [(each["version"], each["kind"], each["holds"]) for each in documents] == [
        ("v1", "LLM", ["adapter"]),
        ("v2", "LLM", ["merged", "adapter"]),
    ]
    shown = invoke(project, "show", "example", "--version", "v1").stdout
    assert "kind        LLM" in shown
    assert "holds       adapter" in shown
    assert "lora peft sha256:" in shown
    assert "base        tiny sha256:bbbb" in shown
    assert "PeftModel.from_pretrained" in shown
    assert "card        " in shown
    assert "AutoModelForCausalLM.from_pretrained" in invoke(project, "show", "example").stdout


def test_export_forms(project: Project, tmp_path: Path) -> None:
    version = make_version(project, tmp_path / "a", example_text_plan(), merged=True)
    for form, expected in (
        ("adapter", ["README.md", "adapter_config.json", "adapter_model.safetensors", "ftspec.json"]),
        ("merged", ["README.md", "config.json", "ftspec.json", "model.safetensors", "training_log.jsonl"]),
        (None, [*names(version.path)]),
    ):
        target = tmp_path / f"out-{form}"
        options = () if form is None else ("--form", form)
        result = invoke(project, "export", "example", *options, "--to", str(target))
        assert result.exit_code == 0, result.output
        assert names(target) == expected
        assert not (target / ".registration.json").exists()


def test_export_never_replaces_what_is_there(project: Project, tmp_path: Path) -> None:
    version = make_version(project, tmp_path / "a", example_text_plan(), merged=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    for form in ("adapter", "merged", None):
        with pytest.raises(FtspecError, match="FTS640"):
            export_model(version, mine, form)
    assert names(mine) == ["notes.txt"]


def test_a_form_that_is_not_there(project: Project, tmp_path: Path) -> None:
    version = make_version(project, tmp_path / "a", example_text_plan(merge=False), merged=False)
    with pytest.raises(FtspecError, match=r"FTS642.*unmerged"):
        export_model(version, tmp_path / "x", "merged")
    full = make_version(
        project,
        tmp_path / "b",
        example_text_plan(adapter=AdapterPlan(type="full")),
        merged=True,
        adapter=None,
    )
    with pytest.raises(FtspecError, match=r"FTS642.*no adapter"):
        export_model(full, tmp_path / "x", "adapter")
    assert not (tmp_path / "x").exists()


def test_export_needs_one_place(project: Project, tmp_path: Path) -> None:
    make_version(project, tmp_path / "a", example_text_plan(), merged=True)
    assert invoke(project, "export", "example").exit_code == 2
    assert invoke(project, "export", "example", "x", "--to", "y").exit_code == 2


def test_delete(project: Project, tmp_path: Path) -> None:
    make_version(project, tmp_path / "a", example_text_plan(), merged=True)
    assert invoke(project, "delete", "example", "--yes").exit_code == 0
    assert find_model_version(project, "example")[0] is None
