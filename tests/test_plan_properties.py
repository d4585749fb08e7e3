"""What a plan may and may not depend on: every key of a spec changes it, and formatting does not."""

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ftspec.driver.compile import compile_spec
from ftspec.paths import shared_folder
from ftspec.plan.codec import VOLATILE, digest, plan_document, without
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fingerprints import realisation_fingerprint, semantic_fingerprint
from ftspec.source.load import load_document
from ftspec.spec.spec import EmbeddingSpec
from ftspec.store.project import Project
from tests.spec_leaves import spec_leaves

MACHINE = "rtx4090"
Values = Mapping[str, Any]
Build = Callable[[str, Values], EmbeddingPlan]

# Leaf -> (spec in specs/, values that it needs first, values that change it). None removes a key.
_VALIDATED: Values = {"data.split.validation": 0.2}
_STOPPING: Values = {**_VALIDATED, "train.early_stopping": {}}
_LORA: Values = {"model.lora": {}}
_CODE: Values = {
    "data.train": [{"type": "code", "path": "code"}],
    "data.split": {"by": "positive", "test": 0.4},
    "evaluation.slices": [],
    "train.global_batch_size": 4,
}
_BEIR_SIDE = {"type": "beir", "path": "data/http-beir", "split": "test"}
_GIVEN: Values = {
    "data.evaluation": [_BEIR_SIDE],
    "data.split": {"leakage": "drop_train"},
    "evaluation.slices": [],
    "train.global_batch_size": 4,
}
CHANGES: dict[str, tuple[str, Values, Values]] = {
    "metadata.name": ("pairs", {}, {"metadata.name": "other"}),
    "metadata.description": ("pairs", {}, {"metadata.description": "Another sentence."}),
    "metadata.labels": ("pairs", {}, {"metadata.labels": {"team": "search"}}),
    "model.base": ("pairs", {}, {"model.base": "sentence-transformers/all-MiniLM-L6-v2"}),
    "model.revision": ("pairs", {}, {"model.revision": "main"}),
    "model.max_seq_length": ("pairs", {}, {"model.max_seq_length": 32}),
    "model.prompts.query": ("pairs", {}, {"model.prompts.query": "query: "}),
    "model.prompts.document": ("pairs", {}, {"model.prompts.document": "passage: "}),
    "model.pooling": ("pairs", {}, {"model.pooling": "cls"}),
    "model.similarity": ("pairs", {}, {"model.similarity": "dot"}),
    "model.freeze.embeddings": ("pairs", {}, {"model.freeze.embeddings": True}),
    "model.freeze.layers": ("pairs", {}, {"model.freeze.layers": 2}),
    "model.freeze.fraction": ("pairs", {}, {"model.freeze.fraction": 0.5}),
    "model.lora.r": ("pairs", _LORA, {"model.lora.r": 8}),
    "model.lora.alpha": ("pairs", _LORA, {"model.lora.alpha": 8}),
    "model.lora.dropout": ("pairs", _LORA, {"model.lora.dropout": 0.1}),
    "model.lora.target_modules": ("pairs", _LORA, {"model.lora.target_modules": ["query", "value"]}),
    "model.trust_remote_code": ("pairs", {}, {"model.trust_remote_code": True}),
    "data.train[code].path": ("pairs", _CODE, {"data.train.0.path": "code/more"}),
    "data.train[code].include": ("pairs", _CODE, {"data.train.0.include": ["more/*.py"]}),
    "data.train[code].exclude": ("pairs", _CODE, {"data.train.0.exclude": ["more/*.py"]}),
    "data.train[file].path": ("pairs", {}, {"data.train.0.path": "data/fewer.jsonl"}),
    "data.train[file].format": ("pairs", {}, {"data.train.0.format": "jsonl"}),
    "data.train[file].roles.query": ("triplets", {}, {"data.train.0.roles.query": "class"}),
    "data.train[file].roles.positive": ("binary", {}, {"data.train.0.roles.positive": "swapped"}),
    "data.train[file].roles.negatives": ("triplets", {}, {"data.train.0.roles.negatives": ["wrong", "class"]}),
    "data.train[file].roles.label": ("binary", {}, {"data.train.0.roles.label": "opposite"}),
    "data.train[file].roles.score": ("scored", {}, {"data.train.0.roles.score": "opposite"}),
    "data.train[file].roles.group": ("pairs", {"evaluation.slices": []}, {"data.train.0.roles.group": None}),
    "data.train[file].roles.id": ("pairs", {}, {"data.train.0.roles.id": "question"}),
    "data.train[beir].path": ("beir", {}, {"data.train.0.path": "data/other-beir"}),
    "data.train[beir].split": ("beir", {}, {"data.train.0.split": "half"}),
    "data.evaluation": ("pairs", {**_GIVEN, "data.evaluation": None, "data.split": {}}, _GIVEN),
    "data.filters.min_query_chars": ("pairs", {}, {"data.filters.min_query_chars": 20}),
    "data.filters.max_query_chars": ("pairs", {}, {"data.filters.max_query_chars": 100}),
    "data.filters.min_document_chars": ("pairs", {}, {"data.filters.min_document_chars": 8}),
    "data.filters.max_document_chars": ("pairs", {}, {"data.filters.max_document_chars": 30}),
    "data.filters.deduplicate": ("pairs", {}, {"data.filters.deduplicate": False}),
    "data.limit.train": ("pairs", {}, {"data.limit.train": 16}),
    "data.limit.test_queries": ("pairs", {}, {"data.limit.test_queries": 10}),
    "data.limit.test_documents": ("pairs", {}, {"data.limit.test_documents": 12}),
    "data.split.by": ("pairs", {}, {"data.split.by": "random"}),
    "data.split.test": ("pairs", {}, {"data.split.test": 0.3}),
    "data.split.validation": ("pairs", {}, _VALIDATED),
    "data.split.seed": ("pairs", {}, {"data.split.seed": 14}),
    "data.split.leakage": ("beir", {}, {"data.split.leakage": "drop_train"}),
    "data.on_error": ("pairs", {}, {"data.on_error": "skip"}),
    "train.objective[contrastive].temperature": ("pairs", {}, {"train.objective.temperature": 0.1}),
    "train.objective[contrastive].symmetric": ("pairs", {}, {"train.objective.symmetric": True}),
    "train.objective[contrastive].mask_positives": ("pairs", {}, {"train.objective.mask_positives": False}),
    "train.objective[triplet].margin": ("triplets", {}, {"train.objective.margin": 0.5}),
    "train.objective[triplet].distance": ("triplets", {}, {"train.objective.distance": "euclidean"}),
    "train.objective[scored_pairs].loss": ("scored", {}, {"train.objective.loss": "angle"}),
    "train.objective[binary_pairs].loss": ("binary", {}, {"train.objective.loss": "online_contrastive"}),
    "train.objective[binary_pairs].margin": ("binary", {}, {"train.objective.margin": 0.6}),
    "train.objective[labelled_classes].loss": ("classes", {}, {"train.objective.loss": "batch_all"}),
    "train.objective[labelled_classes].margin": (
        "classes",
        {"train.objective.loss": "batch_all"},
        {"train.objective.margin": 0.6},
    ),
    "train.matryoshka.dimensions": ("pairs", {}, {"train.matryoshka.dimensions": [128]}),
    "train.matryoshka.weights": (
        "pairs",
        {"train.matryoshka": {"dimensions": [128, 64]}},
        {"train.matryoshka.weights": [1.0, 0.5]},
    ),
    "train.global_batch_size": ("pairs", {}, {"train.global_batch_size": 4}),
    "train.num_train_epochs": ("pairs", {}, {"train.num_train_epochs": 3}),
    "train.max_steps": ("pairs", {"train.num_train_epochs": None}, {"train.max_steps": 5}),
    "train.learning_rate": ("pairs", {}, {"train.learning_rate": 1e-4}),
    "train.lr_scheduler_type": ("pairs", {}, {"train.lr_scheduler_type": "cosine"}),
    "train.lr_num_cycles": (
        "pairs",
        {"train.lr_scheduler_type": "cosine_with_restarts"},
        {"train.lr_num_cycles": 2},
    ),
    "train.warmup_ratio": ("pairs", {}, {"train.warmup_ratio": 0.5}),
    "train.warmup_steps": ("pairs", {}, {"train.warmup_steps": 3}),
    "train.weight_decay": ("pairs", {}, {"train.weight_decay": 0.01}),
    "train.max_grad_norm": ("pairs", {}, {"train.max_grad_norm": 0.5}),
    "train.optim": ("pairs", {}, {"train.optim": "adafactor"}),
    "train.seed": ("pairs", {}, {"train.seed": 1}),
    "train.early_stopping.metric": ("pairs", _STOPPING, {"train.early_stopping.metric": "ndcg@10"}),
    "train.early_stopping.patience": ("pairs", _STOPPING, {"train.early_stopping.patience": 5}),
    "train.early_stopping.min_delta": ("pairs", _STOPPING, {"train.early_stopping.min_delta": 0.01}),
    "train.keep_best": ("pairs", _VALIDATED, {"train.keep_best": True}),
    "train.eval_steps": ("pairs", _VALIDATED, {"train.eval_steps": 2}),
    "train.save_steps": ("pairs", {}, {"train.save_steps": 3}),
    "train.logging_steps": ("pairs", {}, {"train.logging_steps": 2}),
    "train.checks.rising_loss": ("pairs", {}, {"train.checks.rising_loss": "warn"}),
    "train.checks.collapse": ("pairs", {}, {"train.checks.collapse": "off"}),
    "train.checks.max_mean_cosine": ("pairs", {}, {"train.checks.max_mean_cosine": 0.9}),
    "evaluation.metrics": ("pairs", {}, {"evaluation.metrics": ["recall@5", "mrr@10"]}),
    "evaluation.top_k": ("pairs", {}, {"evaluation.top_k": 50}),
    "evaluation.slices": ("pairs", {}, {"evaluation.slices": []}),
    "evaluation.baseline": ("pairs", {}, {"evaluation.baseline": "sentence-transformers/all-MiniLM-L6-v2"}),
    "evaluation.bootstrap.resamples": ("pairs", {}, {"evaluation.bootstrap.resamples": 500}),
    "evaluation.bootstrap.confidence": ("pairs", {}, {"evaluation.bootstrap.confidence": 0.9}),
    "evaluation.bootstrap.seed": ("pairs", {}, {"evaluation.bootstrap.seed": 8}),
    "evaluation.latency_queries": ("pairs", {}, {"evaluation.latency_queries": 10}),
    "gates.*.min": ("pairs", {}, {"gates.recall@5": {"min": 0.4}}),
    "gates.*.max": ("pairs", {}, {"gates.recall@5": {"min": 0.5, "max": 0.9}}),
    "gates.*.min_gain": ("pairs", {}, {"gates.mrr@10": {"min_gain": 0.01}}),
    "gates.*.confidence": ("pairs", {}, {"gates.mrr@10": {"min_gain": 0, "confidence": 0.9}}),
    "gates.*.p50_max": ("pairs", {}, {"gates.latency_ms": {"p95_max": 200, "p50_max": 100}}),
    "gates.*.p95_max": ("pairs", {}, {"gates.latency_ms": {"p95_max": 100}}),
    "resources.backend": ("pairs", {}, {"resources.backend": "accelerate"}),
    "resources.precision": ("pairs", {}, {"resources.precision": "fp32"}),
    "resources.device": ("pairs", {}, {"resources.device": "cpu"}),
    "resources.num_processes": ("pairs", {}, {"resources.num_processes": 1}),
    "resources.limits.memory": ("pairs", {}, {"resources.limits.memory": "8GiB"}),
    "resources.limits.threads": ("pairs", {}, {"resources.limits.threads": 2}),
    "export.dtype": ("pairs", {}, {"export.dtype": "fp16"}),
    "export.merge_lora": ("pairs", _LORA, {"export.merge_lora": False}),
    "export.path": ("pairs", {}, {"export.path": "out"}),
}  # fmt: skip

# The only other valid value says what was decided anyway: the origin changes, from decided to given.
ORIGIN_ONLY = {"data.train[file].format", "resources.backend", "resources.num_processes"}
COSMETIC = {
    "metadata.description",
    "metadata.labels",
}  # shown in the plan and the model card; no stage reads them


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("properties")
    shutil.copytree(shared_folder("specs"), folder / "specs")
    data = folder / "specs" / "data"
    _more_data(data)
    for name in ("", "more/"):
        code = folder / "specs" / "code" / name
        code.mkdir()
        for number in range(12):
            function = f'def do_{number}(x):\n    """Does thing {number} of {name or "all"} with x."""\n'
            (code / f"m{number}.py").write_text(f"{function}    return x + {number}\n", encoding="utf-8")
    project = Project(folder)
    known: dict[str, EmbeddingPlan] = {}

    def plan(name: str, values: Values) -> EmbeddingPlan:
        document, _ = load_document(folder / "specs" / f"{name}.yaml")
        assert document is not None
        tree = document.tree
        for path, value in values.items():
            _set(tree, path.split(".") if not path.startswith("gates.") else ["gates", path[6:]], value)
        text = json.dumps(tree)
        if text not in known:
            spec = folder / "specs" / "changed.yaml"
            spec.write_text(text, encoding="utf-8")
            made, found = compile_spec(spec, project=project, hardware_name=MACHINE)
            assert made is not None, [*found]
            known[text] = made.plan
        return known[text]

    return plan


def _more_data(data: Path) -> None:
    lines = (data / "http-pairs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / "fewer.jsonl").write_text("".join(lines[:-5]), encoding="utf-8")
    for name in ("http-binary", "http-scored"):
        rows = [json.loads(line) for line in (data / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for row in rows:
            row["swapped"] = f"Status {row['answer']}"
            row["opposite"] = 1 - row.get("same", row.get("score"))
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train = (data / "http-beir" / "qrels" / "train.tsv").read_text("utf-8").splitlines(keepends=True)
    (data / "http-beir" / "qrels" / "half.tsv").write_text("".join(train[:-4]), encoding="utf-8")
    shutil.copytree(data / "http-beir", data / "other-beir")
    (data / "other-beir" / "qrels" / "train.tsv").write_text("".join(train[:-2]), encoding="utf-8")


def _set(node: Any, path: list[str], value: Any) -> None:
    *above, last = path
    for part in above:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)


def substance(plan: EmbeddingPlan) -> dict[str, Any]:
    """What the plan says will happen, without how it came about."""
    document: dict[str, Any] = without(
        plan_document(plan), (*VOLATILE, "spec_hash", "overrides", "origins", "decisions")
    )
    return document


def keys(plan: EmbeddingPlan) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan.stages}


def fingerprints(plan: EmbeddingPlan) -> tuple[str, str]:
    return semantic_fingerprint(plan), realisation_fingerprint(plan)


def changed_stages(build: Build, before: Values, after: Values, name: str = "pairs") -> set[str]:
    old, new = keys(build(name, before)), keys(build(name, {**before, **after}))
    return {stage for stage in old if old[stage] != new[stage]}


def test_the_table_has_every_key() -> None:
    written = sorted(
        leaf for leaf in spec_leaves(EmbeddingSpec) if "[documents]" not in leaf
    )  # tests/synth/test_keys.py
    assert sorted(CHANGES) == written


@pytest.mark.parametrize("leaf", CHANGES)
def test_every_key_changes_the_plan(leaf: str, build: Build) -> None:
    name, needs, change = CHANGES[leaf]
    before, after = build(name, needs), build(name, {**needs, **change})
    assert before.spec_hash != after.spec_hash
    assert digest(before) != digest(after)
    if leaf in ORIGIN_ONLY:
        assert substance(before) == substance(after)
        assert before.origins != after.origins
    else:
        assert substance(before) != substance(after)
    if leaf in COSMETIC:
        assert fingerprints(before) == fingerprints(after)
        assert keys(before) == keys(after)


def test_metrics_change_what_follows_the_encoding(build: Build) -> None:
    changed = changed_stages(build, {}, {"evaluation.metrics": ["recall@5", "mrr@10"]})
    assert changed == {"evaluate", "gate", "register"}


def test_gates_change_the_judgement(build: Build) -> None:
    assert changed_stages(build, {}, {"gates.recall@5": {"min": 0.4}}) == {"gate", "register"}


def test_latency_is_measured_where_texts_are_encoded(build: Build) -> None:
    changed = changed_stages(build, {}, {"evaluation.latency_queries": 10})
    assert changed == {"encode_base", "encode_tuned", "evaluate", "gate", "register"}


def test_learning_rate_retrains_and_leaves_the_base_alone(build: Build) -> None:
    changed = changed_stages(build, {}, {"train.learning_rate": 1e-4})
    assert changed == {"train", "encode_tuned", "evaluate", "gate", "register"}


def test_another_test_sample_does_not_retrain(build: Build) -> None:
    changed = changed_stages(build, {}, {"data.limit.test_queries": 10})
    assert "train" not in changed
    assert {"split", "encode_base", "encode_tuned", "evaluate"} <= changed


def test_another_validation_sample_retrains(build: Build) -> None:
    # The validation side is sampled to the same limits, and picks the checkpoint.
    assert "train" in changed_stages(build, _VALIDATED, {"data.limit.test_queries": 10})


def test_the_metric_that_picks_the_checkpoint_retrains(build: Build) -> None:
    change = {"evaluation.metrics": ["recall@5", "mrr@10"]}  # mrr@10 was the first
    kept = {**_VALIDATED, "train.keep_best": True}
    assert "train" in changed_stages(build, kept, change)
    assert "train" not in changed_stages(build, kept, {"evaluation.metrics": ["mrr@10", "recall@5"]})
    stopping = {"train.early_stopping": {"metric": "loss"}}
    assert "train" not in changed_stages(build, {**kept, **stopping}, change)


@pytest.mark.parametrize("leaf", [leaf for leaf in CHANGES if leaf.startswith("resources.")])
def test_resources_retrain_nothing(leaf: str, build: Build) -> None:
    name, needs, change = CHANGES[leaf]
    changed = changed_stages(build, needs, change, name)
    # Latency is measured where the texts are encoded, and a gate may ask for it.
    measured = {"encode_base", "encode_tuned", "evaluate", "gate", "register"}
    assert changed == (measured if leaf in ("resources.device", "resources.limits.threads") else set())
    before, after = build(name, needs), build(name, {**needs, **change})
    assert semantic_fingerprint(before) == semantic_fingerprint(after)


REWRITTEN = """\
# The same spec as pairs.yaml, by another hand.
kind: "Embedding"
apiVersion: 'ftspec/v1'
gates: {latency_ms: {p95_max: 2e+2}, recall@5: {min: .5}, mrr@10: {confidence: 0.95, min_gain: 0.0}}
evaluation:
    slices: ["group"]
    top_k: 100        # the default
    baseline: base
    metrics:
        - mrr@10
        - "recall@1"
        - recall@5
train: {num_train_epochs: 2.0, global_batch_size: 8, learning_rate: 0.00002, warmup_ratio: 0.1, seed: 42,
        objective: {temperature: 0.05, type: contrastive, mask_positives: true}}
data:
  on_error: fail
  split: {test: 0.40, by: positive, validation: 0, seed: 13}
  train: [{roles: {group: class, positive: answer, query: question}, path: data/http-pairs.jsonl, type: file, format: auto}]
model: {max_seq_length: 64, similarity: cosine, base: all-MiniLM-L6-v2}
resources: {precision: auto, limits: {}}
metadata:
  description: >-
    Questions and their answers from a JSONL file, split so that no answer is
    on both sides.
  name: pairs
"""


def test_formatting_changes_nothing(tmp_path: Path) -> None:
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    other = tmp_path / "specs" / "rewritten.yaml"
    other.write_text(REWRITTEN, encoding="utf-8")
    plans = []
    for path in (tmp_path / "specs" / "pairs.yaml", other):
        made, found = compile_spec(path, project=Project(tmp_path), hardware_name=MACHINE)
        assert made is not None, [*found]
        plans.append(made.plan)
    one, another = plans
    assert one.spec_hash == another.spec_hash
    assert substance(one) == substance(another)
    assert digest(one) == digest(another)
    assert fingerprints(one) == fingerprints(another)
    assert keys(one) == keys(another)
