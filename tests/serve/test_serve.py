"""Names to models, documents to an index, and the commands over both."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ftspec.cli.eval import eval_command
from ftspec.cli.models import models_command
from ftspec.cli.query import query_command
from ftspec.diagnostics.model import FtspecError
from ftspec.evaluate.card import write_card
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.gates import judge, write_verdict
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.plan.text import plan_to_json
from ftspec.serve import encoder
from ftspec.serve.encoder import Encoder
from ftspec.serve.export import export_model
from ftspec.serve.index import open_index
from ftspec.serve.query import search
from ftspec.serve.recorded import find_run, read_recorded
from ftspec.serve.served import find_registered, serve_model
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.registry import list_models, register_model
from ftspec.store.run_record import EstimateRecord, RunRecord, StageRecord, write_record
from tests.example_evidence import WIDTH, example_plan, write_encoding, write_split

RUN = "example-1a2b3c4d"


class FakeModel:
    """Vector i of the corpus for a text that ends in the number i; counts what it encoded."""

    def __init__(self, corpus: np.ndarray) -> None:
        self.corpus = corpus
        self.encoded: list[tuple[str, str]] = []

    def encode(self, texts: Sequence[str], *, prompt: str, **_: Any) -> np.ndarray:
        self.encoded += [(prompt, text) for text in texts]
        numbers = [int(text.splitlines()[0].split()[-1]) for text in texts]
        return self.corpus[[number % len(self.corpus) for number in numbers]]


def make_project(root: Path, *, registered: bool = True) -> tuple[Project, EmbeddingPlan]:
    """A finished run of `example`, and its model when it was promoted."""
    project = Project(root)
    project.create()
    plan = with_stages(example_plan(), nothing_stored)
    base_model = project.runs / RUN / "base"
    base_model.mkdir(parents=True)
    keys = {stage.name: stage.key for stage in plan.stages}
    store = Artifacts(project)
    made = root / "made"
    split = write_split(made / "split")
    write_encoding(made / "encode_base", noise=2.5)
    write_encoding(made / "encode_tuned", noise=1.0)
    for name in ("evaluate", "gate", "model"):
        (made / name).mkdir()
    evidence = evaluate(plan, split, made / "encode_base", made / "encode_tuned", made / "evaluate")
    verdict = judge(plan, evidence)
    write_verdict(made / "gate", verdict)
    write_card(made / "model", plan, evidence, verdict, {"torch": "2.13.0"})
    for name in ("split", "encode_base", "encode_tuned", "evaluate", "gate"):
        store.publish(name, keys[name], made / name, {})
    metrics = {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.6}}
    if registered:
        register_model(project, "example", made / "model", {"run_id": RUN, "metrics": metrics})
    (project.runs / RUN / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    write_record(
        project,
        RunRecord(
            run_id=RUN,
            name="example",
            kind="Embedding",
            spec={},
            spec_hash=plan.spec_hash,
            spec_path="specs/example.yaml",
            plan_digest="sha256:" + "9" * 64,
            plan_path=f".ftspec/runs/{RUN}/plan.json",
            semantic_fingerprint="s",
            realisation_fingerprint="r",
            backend="accelerate",
            started="2026-01-01T10:00:00+00:00",
            ended="2026-01-01T10:03:00+00:00",
            verdict=str(verdict.verdict),
            metrics=metrics,
            stages=tuple(
                StageRecord(name=n, key=k, action="run", reason="no_artifact") for n, k in keys.items()
            ),
            estimate=EstimateRecord(),
            base_model_digest=plan.model.facts.digest,
            machine={},
            versions={},
        ),
    )
    return project, plan


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)[0]


@pytest.fixture
def model(project: Project, monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    served = serve_model(project, "example")
    assert served.encoded is not None
    fake = FakeModel(np.load(served.encoded / "corpus.npy"))
    monkeypatch.setattr(encoder, "_load", lambda folder, reading: fake)
    return fake


def invoke(command: Any, project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--project", str(project.root)], catch_exceptions=True)


def failure(found: Result) -> str:
    assert isinstance(found.exception, FtspecError), found.output
    (diagnostic,) = found.exception.diagnostics
    return f"{diagnostic.code.id} {diagnostic.detail} {diagnostic.help}"


# --- which model answers ----------------------------------------------------------------------


def test_a_promoted_model_answers(project: Project) -> None:
    served = serve_model(project, "example")
    assert (served.name, served.version, served.fallback) == ("example", "v1", "")
    assert served.reading.prompts.query == "query: "
    assert served.encoded is not None


def test_the_base_model_answers_when_asked(project: Project) -> None:
    served = serve_model(project, "example", use_base=True)
    assert served.version is None
    assert served.fallback == ""
    assert served.folder == project.runs / RUN / "base"


def test_the_base_model_answers_visibly_when_nothing_was_promoted(tmp_path: Path) -> None:
    project, _ = make_project(tmp_path, registered=False)
    served = serve_model(project, "example")
    assert served.version is None
    assert served.fallback == "no promoted model called `example`; answering with the base model"


@pytest.mark.parametrize("use_base", [False, True])
def test_unknown_names_get_a_suggestion(project: Project, use_base: bool) -> None:
    with pytest.raises(FtspecError) as caught:
        serve_model(project, "exmaple", use_base=use_base)
    assert caught.value.diagnostics[0].help == "did you mean `example`?"


def test_an_empty_project_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(FtspecError) as caught:
        serve_model(Project(tmp_path), "anything")
    assert "ftspec apply" in caught.value.diagnostics[0].help


def test_unknown_versions(project: Project) -> None:
    with pytest.raises(FtspecError, match="no version `v9`"):
        serve_model(project, "example", version="v9")
    with pytest.raises(FtspecError, match="no version `v9`"):
        find_registered(project, "example", "v9")


def test_lost_documents_are_named(project: Project) -> None:
    served = serve_model(project, "example")
    (served.split / "train.jsonl").unlink()
    with pytest.raises(FtspecError, match=r"FTS612.*documents of `example`"):
        serve_model(project, "example")


# --- documents and their vectors --------------------------------------------------------------


def test_the_embeddings_of_the_run_are_used(project: Project, model: FakeModel) -> None:
    served = serve_model(project, "example")
    reader = Encoder(served.folder, served.reading)
    index = open_index(project, served, reader)
    assert len(index.ids) == len(index.texts) == len(index.vectors) == 60
    assert model.encoded == []
    (vector,) = reader.encode_queries(["find 17"])
    assert model.encoded == [("query: ", "find 17")]
    hits = search(index, vector, top_k=3, cosine=True)
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert (hits[0].id, hits[0].text) == ("d017", "document 17\nits second line")
    assert hits[0].score == pytest.approx(1.0, abs=1e-6)


def test_training_documents_are_encoded_once(project: Project, model: FakeModel) -> None:
    served = serve_model(project, "example")
    told: list[int] = []
    for _ in range(2):
        reader = Encoder(served.folder, served.reading)
        index = open_index(project, served, reader, everything=True, on_encode=told.append)
        assert len(index.ids) == 65
        assert index.vectors.shape == (65, WIDTH)
    assert told == [5]
    assert {text for _, text in model.encoded} == {f"passage {number}" for number in range(5)}


def test_lost_embeddings_are_made_again_once(project: Project, model: FakeModel) -> None:
    served = replace(serve_model(project, "example"), encoded=None)
    told: list[int] = []
    for _ in range(2):
        reader = Encoder(served.folder, served.reading)
        index = open_index(project, served, reader, on_encode=told.append)
        assert index.vectors.shape == (60, WIDTH)
    assert told == [60]
    other = replace(served, reading=replace(served.reading, max_seq_length=8))
    open_index(project, other, Encoder(served.folder, other.reading), on_encode=told.append)
    assert told == [60, 60]  # another way of reading is another space


# --- commands ---------------------------------------------------------------------------------


def test_query(project: Project, model: FakeModel) -> None:
    found = invoke(query_command, project, "example", "find 4", "-k", "2")
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines()[0].split() == ["1", "1.000", "d004"]
    assert "    document 4\n    its second line\n" in found.stdout
    assert "example v1 · 60 held-out documents" in found.stderr


def test_query_json(project: Project, model: FakeModel) -> None:
    found = invoke(query_command, project, "example", "find 4", "--format", "json", "--all")
    document = json.loads(found.stdout)
    assert document["variant"] == "tuned"
    assert document["documents"] == 65
    assert document["hits"][0]["id"] == "d004"


def test_query_falls_back_visibly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, _ = make_project(tmp_path, registered=False)
    monkeypatch.setattr(encoder, "_load", lambda folder, reading: FakeModel(np.eye(WIDTH, dtype=np.float32)))
    found = invoke(query_command, project, "example", "find 4")
    assert found.exit_code == 0, found.output
    assert found.stderr.startswith("note: no promoted model called `example`; answering with the base model")


def test_query_refuses_nothing_and_both(project: Project) -> None:
    assert "empty" in invoke(query_command, project, "example", " ").output
    assert "exclude" in invoke(query_command, project, "example", "x", "--base", "--version", "v1").output
    assert "did you mean `example`" in failure(invoke(query_command, project, "exampel", "x"))


def test_models_list_and_show(project: Project, tmp_path: Path) -> None:
    listed = invoke(models_command, project, "list")
    assert "example" in listed.stdout
    assert "+0.100" in listed.stdout
    (document,) = json.loads(invoke(models_command, project, "list", "--format", "json").stdout)
    assert (document["name"], document["version"], document["current"]) == ("example", "v1", True)
    shown = invoke(models_command, project, "show", "example")
    assert "v1 (current)" in shown.stdout
    assert RUN in shown.stdout
    assert "passport" in json.loads(
        invoke(models_command, project, "show", "example", "--format", "json").stdout
    )
    assert "did you mean" in failure(invoke(models_command, project, "show", "exampl"))
    (tmp_path / "empty").mkdir()
    empty = invoke(models_command, Project(tmp_path / "empty"), "list")
    assert (empty.exit_code, empty.stdout) == (0, "")


def test_models_delete_asks(project: Project) -> None:
    refused = CliRunner().invoke(
        models_command, ["delete", "example", "--project", str(project.root)], input="n\n"
    )
    assert refused.exit_code != 0
    assert len(list_models(project)) == 1
    assert (
        invoke(models_command, project, "delete", "example", "--yes").stdout
        == "deleted example v1 (current)\n"
    )
    assert list_models(project) == ()
    assert serve_model(project, "example").fallback
    assert "FTS615" in failure(invoke(models_command, project, "delete", "example", "--yes"))


def test_models_export(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    assert invoke(models_command, project, "export", "example", str(target)).exit_code == 0
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "ftspec.json"]
    assert "FTS640" in failure(invoke(models_command, project, "export", "example", str(target)))
    empty = tmp_path / "empty"
    empty.mkdir()
    export_model(find_registered(project, "example", None), empty)
    assert (empty / "ftspec.json").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".partial")]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(FtspecError, match="FTS640"):
        export_model(find_registered(project, "example", None), blocked / "inside")


@pytest.mark.parametrize("name", ["example", RUN])
def test_eval_shows_what_was_recorded(project: Project, name: str) -> None:
    found = invoke(eval_command, project, name)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("better: nDCG@10 +")
    assert RUN in found.stderr
    document = json.loads(invoke(eval_command, project, name, "--format", "json").stdout)
    assert document["verdict"] == "passed"
    assert document["run_id"] == RUN
    assert invoke(eval_command, project, name, "--format", "markdown").stdout.startswith("**better")


def test_eval_of_what_is_not_there(project: Project) -> None:
    assert "did you mean `example`" in failure(invoke(eval_command, project, "exampel"))
    assert invoke(eval_command, project).exit_code == 0  # the newest run
    assert invoke(eval_command, project, "example", "--spec", "spec.yaml").exit_code == 2
    record = find_run(project, name="example", label="example")
    artifacts = Artifacts(project)
    key = record.stage_key("gate")
    assert key is not None
    artifacts.delete("gate", key)
    with pytest.raises(FtspecError, match="stage gate"):
        read_recorded(project, record)


def test_eval_by_spec(project: Project) -> None:
    key = find_run(project, name="example", label="example").stage_key("gate")
    assert find_run(project, gate_key=key, label="spec.yaml").run_id == RUN
    with pytest.raises(FtspecError, match=r"no finished run of spec\.yaml"):
        find_run(project, gate_key="sha256:" + "0" * 64, label="spec.yaml")
