import json
from pathlib import Path
from typing import Any

import pytest

from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.run_record import EstimateRecord, RunRecord, StageRecord


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.create()
    return project


def key_of(number: int) -> str:
    return "sha256:" + f"{number:064x}"[::-1]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def score_rows(queries: int) -> list[dict[str, Any]]:
    return [
        {
            "variant": variant,
            "dimension": 384,
            "query_id": f"q{number}",
            "metric": "ndcg@10",
            "value": (number % 10) / 10,
            "slices": {"group": "a" if number % 2 else "b"},
        }
        for variant in ("base", "tuned")
        for number in range(queries)
    ]


CURVE = [
    {"step": 10, "epoch": 0.1, "loss": 2.0, "learning_rate": 1e-5, "grad_norm": 1.0},
    {"step": 20, "epoch": 0.2, "loss": 1.5, "learning_rate": 2e-5, "grad_norm": 0.9},
    {"step": 20, "eval": {"ndcg@10": 0.5}},
    {"step": 20, "epoch": 0.2, "loss": 1.4, "learning_rate": 2e-5, "grad_norm": 0.9},
]


def publish_evidence(project: Project, queries: int = 4) -> None:
    work = project.state / "work"
    write_jsonl(work / "train" / "curve.jsonl", CURVE)
    write_jsonl(work / "evaluate" / "scores.jsonl", score_rows(queries))
    store = Artifacts(project)
    store.publish("train", key_of(1), work / "train", {"stage": "train"})
    store.publish("evaluate", key_of(2), work / "evaluate", {"stage": "evaluate"})


def write_plan(project: Project, record: RunRecord) -> Path:
    path = project.root / record.plan_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"digest": record.plan_digest}))
    return path


def make_record(run_id: str = "demo-aaaaaaaa", **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": run_id,
        "name": "demo",
        "kind": "Embedding",
        "spec": {"kind": "Embedding", "gates": {"ndcg@10": {"min_gain": 0}}},
        "spec_hash": "sha256:" + "5" * 64,
        "spec_path": "specs/demo.yaml",
        "plan_digest": "sha256:" + "a" * 64,
        "plan_path": f".ftspec/runs/{run_id}/plan.json",
        "semantic_fingerprint": "sha256:1",
        "realisation_fingerprint": "sha256:2",
        "backend": "accelerate",
        "started": "2026-01-01T10:00:00+00:00",
        "ended": "2026-01-01T10:03:20+00:00",
        "verdict": "passed",
        "metrics": {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.6}},
        "stages": (
            StageRecord(name="train", key=key_of(1), action="run", reason="no_artifact", seconds=60.0),
            StageRecord(name="evaluate", key=key_of(2), action="run", reason="no_artifact", seconds=2.0),
        ),
        "estimate": EstimateRecord(
            device="cpu", precision="bf16", predicted_peak_memory_bytes=100, measured_peak_memory_bytes=90
        ),
        "base_model_digest": "sha256:3",
        "machine": {"name": "here", "digest": "sha256:4", "summary": "2 cores"},
        "versions": {"python": "3.11"},
    }
    return RunRecord(**{**values, **changes})
