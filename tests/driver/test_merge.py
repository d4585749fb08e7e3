"""Merging a registered adapter: what is refused before, what the program says, and what is registered."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ftspec.cli.models import models_command
from ftspec.diagnostics.model import FtspecError
from ftspec.driver.merge import merge_model
from ftspec.evaluate.evidence import read_evidence
from ftspec.evaluate.gates import judge, write_verdict
from ftspec.models.decoder import read_decoder_facts
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmExecutionPlan, LlmPlan
from ftspec.plan.model import Estimates, MemoryEstimate, Origin, OriginKind
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.plan.text import plan_to_json
from ftspec.serve.served import serve_model
from ftspec.store.artifacts import Artifacts
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel, find_model_version, list_models, verify_models
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from tests.example_evidence import write_lines
from tests.example_text import example_text_plan
from tests.store.test_registry_llm import PARITY, make_version
from tests.tiny_llm import make_tiny_llm

# Stands for a backend's program: the real ones are tested in backends/test_llm_merge.py.
_HEAD = """
import json, os, sys
from pathlib import Path
folder = Path(sys.argv[1])
assert (folder / "adapter" / "adapter_config.json").is_file()
assert os.environ["FTSPEC_WATCH_STDIN"] == "1"
assert json.loads(Path("config.json").read_text())["export"]["merge"] is True
assert Path("base/model.safetensors").is_file() and Path("data/test.jsonl").is_file()
"""
_GOOD = f"""
(folder / "model").mkdir()
(folder / "model" / "config.json").write_text("{{}}")
(folder / "model" / "model.safetensors").write_text("whole")
(folder / "model" / "README.md").write_text("of the base")
print("noise")
print(json.dumps({PARITY!r}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.create()
    return project


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_llm(tmp_path / "base")


def backends(tmp_path: Path, program: str | None = _GOOD) -> Sequence[Target]:
    """The trl backend with another program, or without one that merges."""
    targets, _ = load_targets()
    trl = next(target for target in targets if target.name == "trl")
    if program is None:
        return (trl.model_copy(update={"programs": ("programs/main.py",)}),)
    file = tmp_path / "merge.py"
    file.write_text(_HEAD + program, encoding="utf-8")
    return (trl.model_copy(update={"programs": (str(file),)}),)


def registered(project: Project, root: Path, base: Path, *, merged: bool = False) -> RegisteredModel:
    """A version with its run, tokens and evidence."""
    facts, _ = read_decoder_facts(base, id="tiny", origin="path")
    assert facts is not None
    plan = example_text_plan(merge=merged)
    run = LlmExecutionPlan(
        backend="trl",
        device="cpu",
        num_processes=1,
        precision="fp32",
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        attn_implementation="sdpa",
        num_threads=1,
        memory_limit_bytes=2**30,
        environment=FrozenMap(),
        score_batch_size=8,
    )
    plan = replace(plan, model=replace(plan.model, facts=facts), execution=run)
    memory = MemoryEstimate(weights_bytes=1, optimizer_bytes=1, activation_bytes=1, overhead_bytes=1)
    estimates = Estimates(
        peak_memory_bytes=4,
        memory=memory,
        wall_seconds=1.0,
        stage_seconds=FrozenMap(),
        wall_factor=2.0,
        calibrated=False,
    )
    origins = FrozenMap({path: Origin(kind=OriginKind.DEFAULT) for path, _ in leaves(plan)})
    plan = with_stages(replace(plan, origins=origins, estimates=estimates), nothing_stored)
    assert isinstance(plan, LlmPlan)
    version = make_version(project, root, plan, merged=merged)
    folder = project.runs / "example-run"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    keys = {stage.name: stage.key for stage in plan.stages}
    write_lines(root / "tokens" / "test.jsonl", [{"id": "r000"}])
    write_verdict(root / "note", judge(plan, read_evidence(root / "evaluate")))
    store = Artifacts(project)
    for stage, name in (("tokenize", "tokens"), ("evaluate", "evaluate"), ("gate", "note")):
        store.publish(stage, keys[stage], root / name, {})
    return version


def test_the_whole_model_is_a_version_of_its_own(project: Project, tmp_path: Path, base: Path) -> None:
    model = registered(project, tmp_path / "made", base)
    whole = merge_model(project, model, targets=backends(tmp_path))
    assert (whole.version, whole.current, whole.is_whole) == ("v2", True, True)
    assert whole.meta["merged_from"] == "v1"
    assert (whole.path / "model.safetensors").read_text() == "whole"
    assert whole.adapter is not None
    assert (whole.adapter / "adapter_model.safetensors").read_text() == "delta"
    passport = json.loads((whole.path / "ftspec.json").read_text())
    assert passport["model"]["merged"] is True
    assert passport["parity"] == PARITY
    assert passport["environment"] == {"torch": "2.13.0"}
    card = (whole.path / "README.md").read_text()
    assert "The folder holds all weights" in card
    assert "Merged weights against base and adapter" in card
    assert (whole.path / "training_log.jsonl").is_file()
    assert not verify_models(project).items
    assert not find_model_version(project, "example", "v1")[0].is_whole  # type: ignore[union-attr]
    assert not list((project.state / "merge").iterdir())

    # Once more finds it again.
    assert merge_model(project, model, targets=backends(tmp_path)).version == "v2"
    with pytest.raises(FtspecError, match=r"FTS642.*holds all weights already"):
        merge_model(project, whole, targets=backends(tmp_path))
    assert "merged from v1" in _show(project)


def test_what_tainted_a_run_is_told_of_the_merged_model_too(
    project: Project, tmp_path: Path, base: Path
) -> None:
    model = registered(project, tmp_path / "made", base)
    passport = json.loads((model.path / "ftspec.json").read_text())
    (model.path / "ftspec.json").write_text(json.dumps({**passport, "tainted": ["rows.jsonl has moved"]}))
    whole = merge_model(project, model, targets=backends(tmp_path))
    assert json.loads((whole.path / "ftspec.json").read_text())["tainted"] == ["rows.jsonl has moved"]
    assert "**Tainted.**" in (whole.path / "README.md").read_text()


def test_the_ledger_knows_it(project: Project, tmp_path: Path, base: Path) -> None:
    model = registered(project, tmp_path / "made", base)
    ledger = Ledger(project)
    with ledger.write():
        pass
    merge_model(project, model, targets=backends(tmp_path))
    with ledger.read() as db:
        assert db.execute("SELECT name, version FROM models").fetchall() == [("example", "v2")]


def test_queries_are_for_embeddings(project: Project, tmp_path: Path, base: Path) -> None:
    registered(project, tmp_path / "made", base)
    with pytest.raises(FtspecError, match=r"FTS641.*`example` is of kind LLM"):
        serve_model(project, "example")


def _show(project: Project) -> str:
    found = CliRunner().invoke(models_command, ["show", "example", "--project", str(project.root)])
    return " ".join(found.stdout.split())


def test_another_base_is_refused(project: Project, tmp_path: Path, base: Path) -> None:
    model = registered(project, tmp_path / "made", base)
    other = make_tiny_llm(tmp_path / "other", seed=1)
    with pytest.raises(FtspecError, match=r"FTS643.*was trained on tiny sha256:"):
        merge_model(project, model, targets=backends(tmp_path), base=other)
    moved = tmp_path / "moved"
    base.rename(moved)
    with pytest.raises(FtspecError, match=r"FTS301.*is not at "):
        merge_model(project, model, targets=backends(tmp_path))
    assert merge_model(project, model, targets=backends(tmp_path), base=moved).version == "v2"


def test_a_backend_that_cannot(project: Project, tmp_path: Path, base: Path) -> None:
    model = registered(project, tmp_path / "made", base)
    with pytest.raises(FtspecError, match=r"FTS642.*`trl`, which merges only at the end of a run"):
        merge_model(project, model, targets=backends(tmp_path, None))
    with pytest.raises(FtspecError, match=r"FTS642.*`trl`, which is not among the backends"):
        merge_model(project, model, targets=())


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ('print(json.dumps({"code": "FTS651", "detail": "9 apart"})); sys.exit(20)', "FTS651", "9 apart"),
        ('sys.stderr.write("no such thing"); sys.exit(3)', "FTS654", "exit code 3\nno such thing"),
        ("print('{}')", "FTS654", "exit code 0"),  # nothing was made
        ("print('no json'); sys.exit(20)", "FTS654", "no json"),
        ('print(json.dumps({"code": "FTS999"})); sys.exit(20)', "FTS654", "exit code 20"),
    ],
)
def test_a_program_that_fails(
    project: Project, tmp_path: Path, base: Path, program: str, code: str, said: str
) -> None:
    model = registered(project, tmp_path / "made", base)
    with pytest.raises(FtspecError) as found:
        merge_model(project, model, targets=backends(tmp_path, program))
    (diagnostic,) = found.value.diagnostics
    assert diagnostic.code.id == code
    assert said in diagnostic.detail
    assert [each.version for each in list_models(project)] == ["v1"]
    assert not list((project.state / "merge").iterdir())


def test_without_its_run_nothing_is_merged(project: Project, tmp_path: Path, base: Path) -> None:
    model = registered(project, tmp_path / "made", base)
    (project.runs / "example-run" / "plan.json").unlink()
    with pytest.raises(FtspecError, match="FTS612"):
        merge_model(project, model, targets=backends(tmp_path))


def test_a_merged_version_is_not_merged(project: Project, tmp_path: Path, base: Path) -> None:
    registered(project, tmp_path / "made", base, merged=True)
    found = CliRunner().invoke(models_command, ["merge", "example", "--project", str(project.root)])
    assert isinstance(found.exception, FtspecError)
    assert "FTS642" in str(found.exception)
