"""Registered versions with their runs and evidence, made without training: the noise of a version's
embeddings says how good it is."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ftspec.driver.comparison import Means
from ftspec.driver.register import register
from ftspec.evaluate.card import write_card
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import means
from ftspec.evaluate.gates import Outcome, Verdict, judge, write_verdict
from ftspec.plan.codec import digest
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.plan.text import plan_to_json
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel
from ftspec.store.run_record import EstimateRecord, ModelRecord, RunRecord, StageRecord, finish_run
from tests.embedding_plan import complete_plan
from tests.example_evidence import WIDTH, write_encoding, write_split

MEANS = Means(targets=(), purpose="ftspec promote")


def make_version(
    project: Project,
    seed: int,
    noise: float,
    *,
    plan: EmbeddingPlan | None = None,
    known: int = 0,
    **record: Any,
) -> RegisteredModel:
    """A finished run with the given seed, and the version it registered: v1, v2, … `known`: how many of its
    held-out queries others were trained on."""
    plan = complete_plan() if plan is None else plan
    plan = replace(plan, train=replace(plan.train, seed=seed), gates=plan.gates)
    made = with_stages(plan, nothing_stored)
    assert isinstance(made, EmbeddingPlan)
    plan = made
    keys = {stage.name: stage.key for stage in plan.stages}
    root, store = project.root / "made" / f"{plan.name}-{seed}", Artifacts(project)
    split = write_split(root / "split")
    queries = split / "test" / "queries.jsonl"
    text = queries.read_text(encoding="utf-8")
    for number in range(known):
        asked = f"question {number} with [brackets] and\\nа line"
        assert asked in text
        text = text.replace(asked, f"trained {number}")
    queries.write_text(text, encoding="utf-8")
    write_encoding(root / "encode_base", noise=4.0)
    write_encoding(root / "encode_tuned", noise=noise)
    _draw_again(root / "encode_tuned", noise, seed)
    for name in ("evaluate", "gate", "model", "train", "register"):
        (root / name).mkdir(parents=True, exist_ok=True)
    evidence = evaluate(plan, split, root / "encode_base", root / "encode_tuned", root / "evaluate")
    verdict = Verdict(verdict=Outcome.PASSED, gates=judge(plan, evidence).gates)
    write_verdict(root / "gate", verdict)
    write_card(root / "model", plan, evidence, verdict, {"torch": "2.13.0"})
    (root / "model" / "model.safetensors").write_text(f"weights {seed}")
    (root / "train" / "curve.jsonl").write_text("")
    run_id = f"{plan.name}-{seed:08x}"
    model = register(
        project,
        plan,
        root / "model",
        verdict,
        key=keys["register"],
        run_id=run_id,
        plan_digest=digest(plan),
        metrics=means(evidence.summary),
        out=root / "register",
    )
    assert model is not None
    for name in ("split", "encode_base", "train", "encode_tuned", "evaluate", "gate", "register"):
        store.publish(name, keys[name], root / name, {})
    folder = project.runs / run_id
    for name in ("base", "out", "model"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x" * 1000)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    values: dict[str, Any] = {
        "run_id": run_id,
        "name": plan.name,
        "kind": "Embedding",
        "spec": {"kind": "Embedding"},
        "spec_hash": plan.spec_hash,
        "spec_path": "specs/example.yaml",
        "plan_digest": digest(plan),
        "plan_path": f".ftspec/runs/{run_id}/plan.json",
        "semantic_fingerprint": "s",
        "realisation_fingerprint": "r",
        "backend": "accelerate",
        "started": f"2026-01-{seed:02d}T10:00:00+00:00",
        "ended": f"2026-01-{seed:02d}T10:03:00+00:00",
        "verdict": "passed",
        "metrics": means(evidence.summary),
        "stages": tuple(
            StageRecord(name=name, key=key, action="run", reason="no_artifact") for name, key in keys.items()
        ),
        "estimate": EstimateRecord(),
        "base_model_digest": plan.model.facts.digest,
        "machine": {},
        "versions": {},
        "model": ModelRecord(
            name=model.name, version=model.version, digest=model.digest, path=project.relative(model.path)
        ),
    }
    finish_run(project, RunRecord(**{**values, **record}))
    return model


def _draw_again(folder: Path, noise: float, seed: int) -> None:
    """Noise of its own: two versions of the same quality err on different queries."""
    corpus = np.load(folder / "corpus.npy")
    errors = noise * np.random.default_rng(100 + seed).normal(size=(40, WIDTH))
    asked = corpus[:40] * WIDTH**0.5 + errors
    np.save(folder / "queries.npy", (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32))


def remove(path: Path) -> None:
    shutil.rmtree(path)
