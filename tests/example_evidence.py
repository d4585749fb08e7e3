"""A plan, a split and embeddings made on the spot, for tests of what comes after encoding."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ftspec.plan.embedding import (
    EmbeddingChecks,
    EmbeddingDataPlan,
    EmbeddingEvaluationPlan,
    EmbeddingExecutionPlan,
    EmbeddingExportPlan,
    EmbeddingModelPlan,
    EmbeddingPlan,
    EmbeddingTrainPlan,
    Filters,
    Freeze,
    Limit,
    Objective,
    Prompts,
    SourcePlan,
)
from ftspec.plan.facts import EmbeddingDataFacts, Machine, ModelFacts, SourceFacts, TextLengths
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Bootstrap, Gate, Split

WIDTH = 16
_LENGTHS = TextLengths(count=10, mean=9.0, p50=9, p95=12, max=14, share_above_limit=0.0, padded_mean=11.0)


def example_plan(*, gates: Mapping[str, Gate] | None = None, **evaluation: Any) -> EmbeddingPlan:
    """A plan of an embedding run; keyword arguments replace fields of `evaluation`."""
    model = ModelFacts(
        id="tiny",
        origin="path",
        location="/nowhere",
        digest="sha256:" + "b" * 64,
        weights_sha256="c" * 64,
        architecture="BertModel",
        model_type="bert",
        num_layers=2,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_attention_heads=2,
        vocab_size=100,
        max_positions=64,
        max_seq_length=64,
        pooling="mean",
        normalizes=True,
        embedding_dimension=WIDTH,
        attention_dropout=0.1,
        hidden_dropout=0.1,
        total_parameters=10_000,
        embedding_parameters=2_000,
        layer_parameters=4_000,
        linear_modules=("query",),
        weights_bytes=40_000,
        weights_dtype="F32",
        needs_remote_code=False,
        prompts=FrozenMap(),
    )
    facts = EmbeddingDataFacts(
        digest="sha256:" + "d" * 64,
        sources=(
            SourceFacts(
                label="data/pairs.jsonl",
                type="file",
                digest="sha256:" + "e" * 64,
                files=1,
                rows=120,
                skipped=0,
                skip_examples=(),
            ),
        ),
        roles=("query", "positive"),
        num_negatives=0,
        train_rows=80,
        validation_queries=0,
        test_queries=40,
        test_documents=60,
        split_by="group",
        train_groups=8,
        test_groups=4,
        distinct_queries=80,
        distinct_positives=80,
        duplicates_removed=0,
        filtered_out=0,
        leaked_queries=0,
        leaked_positives=0,
        leak_examples=(),
        slices=("group",),
        query_lengths=_LENGTHS,
        document_lengths=_LENGTHS,
    )
    settings = {
        "metrics": ("ndcg@10", "recall@1"),
        "primary": "ndcg@10",
        "top_k": 20,
        "slices": (),
        "baseline": "base",
        "baseline_facts": None,
        "bootstrap": Bootstrap(resamples=500, confidence=0.95, seed=7),
        "latency_queries": 4,
        "detectable_gain": 0.1,
        "dimensions": (WIDTH,),
        **evaluation,
    }
    return EmbeddingPlan(
        kind="Embedding",
        name="example",
        description="Finds things.",
        labels=FrozenMap(),
        spec_path="specs/example.yaml",
        spec_hash="sha256:" + "a" * 64,
        machine=Machine(name="here", digest="sha256:" + "f" * 64, summary="2 CPU cores", facts=FrozenMap()),
        model=EmbeddingModelPlan(
            base="tiny",
            revision=None,
            max_seq_length=32,
            prompts=Prompts(query="query: "),
            pooling="mean",
            similarity="cosine",
            freeze=Freeze(),
            lora=None,
            trust_remote_code=False,
            trainable_parameters=10_000,
            facts=model,
        ),
        data=EmbeddingDataPlan(
            folder="/nowhere",
            train=(SourcePlan(type="file", path="data/pairs.jsonl", format="jsonl"),),
            evaluation=(),
            filters=Filters(
                min_query_chars=1,
                max_query_chars=None,
                min_document_chars=1,
                max_document_chars=None,
                deduplicate=True,
            ),
            limit=Limit(train=None, test_queries=None, test_documents=None),
            split=Split(by="auto", test=0.2, validation=0.0, seed=7),
            on_error="fail",
            facts=facts,
        ),
        train=EmbeddingTrainPlan(
            objective=Objective(type="contrastive", loss="in_batch", temperature=0.05),
            matryoshka=None,
            roles=("query", "positive"),
            global_batch_size=8,
            num_train_epochs=1.0,
            total_steps=10,
            learning_rate=5e-5,
            lr_scheduler_type="linear",
            lr_num_cycles=None,
            warmup_steps=1,
            weight_decay=0.0,
            max_grad_norm=1.0,
            optim="adamw_torch",
            seed=7,
            early_stopping=None,
            keep_best=False,
            eval_steps=None,
            save_steps=10,
            logging_steps=1,
            checks=EmbeddingChecks(rising_loss="fail", collapse="fail", max_mean_cosine=0.95),
        ),
        evaluation=EmbeddingEvaluationPlan(**settings),
        gates=FrozenMap(gates if gates is not None else {"ndcg@10": Gate(min_gain=0.0, confidence=0.95)}),
        export=EmbeddingExportPlan(dtype="fp32", merge_lora=True, path=None),
        execution=EmbeddingExecutionPlan(backend="accelerate", device="cpu", precision="fp32"),
        origins=FrozenMap(),
    )


def with_similarity(plan: EmbeddingPlan, similarity: str) -> EmbeddingPlan:
    return replace(plan, model=replace(plan.model, similarity=similarity))


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_split(folder: Path, *, queries: int = 40, documents: int = 60) -> Path:
    """Query i is answered by document i; four groups of unequal size."""
    write_lines(
        folder / "test" / "queries.jsonl",
        [
            {
                "id": f"q{i:03d}",
                "text": f"question {i} with [brackets] and\nа line",
                "slices": {"group": "abbc"[i % 4]},
            }
            for i in range(queries)
        ],
    )
    write_lines(
        folder / "test" / "corpus.jsonl",
        [{"id": f"d{i:03d}", "text": f"document {i}\nits second line"} for i in range(documents)],
    )
    write_lines(
        folder / "test" / "qrels.jsonl",
        [{"query_id": f"q{i:03d}", "document_id": f"d{i:03d}", "grade": 1} for i in range(queries)],
    )
    write_lines(
        folder / "train.jsonl",
        [
            {
                "query_id": f"t{i}",
                "query": f"trained {i}",
                "positive_id": f"p{i % 5}",
                "positive": f"passage {i % 5}",
                "judged": [],
            }
            for i in range(10)
        ],
    )
    (folder / "report.json").write_text("{}\n", encoding="utf-8")
    return folder


def write_encoding(
    folder: Path,
    *,
    noise: float,
    queries: int = 40,
    documents: int = 60,
    latency: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0),
) -> Path:
    """Queries are noisy copies of their documents: the more noise, the worse the rankings."""
    random = np.random.default_rng(11)
    corpus = random.normal(size=(documents, WIDTH))
    asked = corpus[:queries] + noise * random.normal(size=(queries, WIDTH))
    folder.mkdir(parents=True, exist_ok=True)
    for name, vectors in (("queries", asked), ("corpus", corpus)):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / f"{name}.npy", unit.astype(np.float32))
    (folder / "latency.json").write_text(
        json.dumps({"latency_ms": list(latency), "device": "cpu", "threads": 2}), encoding="utf-8"
    )
    return folder
