"""A minimal spec as text, and one with every section as plain values."""

from collections.abc import Iterator
from typing import Any

MINIMAL = """\
apiVersion: ftspec/v1
kind: Embedding
metadata:
  name: support-search
model:
  base: all-MiniLM-L6-v2
data:
  train:
    - type: file
      path: pairs.jsonl
      roles:
        query: query
        positive: answer
train:
  objective:
    type: contrastive
"""

FULL: dict[str, Any] = {
    "apiVersion": "ftspec/v1",
    "kind": "Embedding",
    "metadata": {"name": "all", "description": "d", "labels": {"team": "search"}},
    "model": {
        "base": "m", "revision": "main", "max_seq_length": 64, "prompts": {"query": "q: "}, "pooling": "mean",
        "lora": {"r": 4, "target_modules": ["query"]},
    },
    "data": {
        "train": [
            {"type": "file", "path": "a", "roles": {"positive": "p", "negatives": ["n", "m"]}},
            {"type": "code", "path": "stdlib", "include": ["*.py"]},
            {"type": "beir", "path": "b", "split": "train"},
        ],
        "filters": {"min_query_chars": 3}, "limit": {"train": 5}, "split": {"test": 0.1, "validation": 0.1},
    },
    "train": {
        "objective": {"type": "contrastive", "temperature": 0.1},
        "matryoshka": {"dimensions": [64, 32], "weights": [1, 0.5]},
        "num_train_epochs": 2, "learning_rate": 1e-5, "early_stopping": {"metric": "ndcg@10"},
        "checks": {"collapse": "warn"},
    },
    "evaluation": {"metrics": ["ndcg@10"], "bootstrap": {"seed": 3}},
    "gates": {"ndcg@10": {"min_gain": 0}, "latency_ms": {"p95_max": 10}},
    "resources": {"limits": {"memory": "8GiB"}},
    "export": {"dtype": "bf16"},
}  # fmt: skip


def paths_of(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in items:
        yield (*above, step)
        yield from paths_of(child, (*above, step))
