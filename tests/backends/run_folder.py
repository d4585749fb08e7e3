"""A run folder of the accelerate backend on a tiny model, made without ftspec: config, data, programs."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tiny_model import tiny_texts

BACKENDS = Path(__file__).resolve().parents[2] / "backends"
PROGRAMS = sorted((*BACKENDS.glob("common/*.py"), *BACKENDS.glob("accelerate/programs/*.py")))
ROWS = 32


def base_config(trainable_parameters: int) -> dict[str, Any]:
    return {
        "format": 1,
        "name": "tiny",
        "stages": [
            {"name": name, "key": f"sha256:{name}"} for name in ("encode_base", "train", "encode_tuned")
        ],
        "model": {
            "folder": "base",
            "trust_remote_code": False,
            "attn_implementation": "sdpa",
            "max_seq_length": 32,
            "pooling": "mean",
            "similarity": "cosine",
            "prompts": {"query": "", "document": ""},
            "freeze": {"embeddings": False, "layers": 0},
            "lora": None,
            "trainable_parameters": trainable_parameters,
        },
        "data": {"folder": "data", "roles": ["query", "positive"], "num_negatives": 0},
        "loss": {
            "objective": "contrastive",
            "variant": None,
            "temperature": 0.05,
            "symmetric": False,
            "mask_positives": True,
            "margin": None,
            "distance": None,
            "matryoshka_dims": [],
            "matryoshka_weights": [],
            "cached": False,
            "mini_batch_size": 8,
        },
        "arguments": {
            "max_steps": 6,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "linear",
            "lr_scheduler_kwargs": {},
            "warmup_steps": 1,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "optim": "adamw_torch_fused",
            "seed": 1,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "bf16": False,
            "fp16": False,
            "use_cpu": True,
            "dataloader_drop_last": True,
            "dataloader_pin_memory": False,
            "logging_strategy": "steps",
            "logging_steps": 2,
            "logging_nan_inf_filter": False,
            "save_strategy": "steps",
            "save_steps": 3,
            "eval_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        },
        "validation": None,
        "checks": {"rising_loss": "off", "collapse": "off", "max_mean_cosine": 0.95},
        "encode": {"batch_size": 8, "latency_queries": 3, "baseline_folder": None},
        "machine": {"device": "cpu", "num_processes": 1, "num_threads": 1},
        "export": {"dtype": "fp32", "merge_lora": True},
    }


def merged(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with sections of `changes` laid over it, key by key."""
    out = dict(config)
    for key, value in changes.items():
        out[key] = {**out[key], **value} if isinstance(value, dict) and out[key] is not None else value
    return out


def train_rows() -> list[dict[str, Any]]:
    queries, positives = tiny_texts(ROWS, 4), tiny_texts(ROWS, 8, offset=1000)
    first, second = tiny_texts(ROWS, 8, offset=2000), tiny_texts(ROWS, 8, offset=3000)
    return [
        {
            "query_id": f"q{index}",
            "query": queries[index],
            "positive_id": f"d{index}",
            "positive": positives[index],
            "negatives": [first[index], second[index]],
            "judged": [f"d{index}", f"d{(index + 1) % ROWS}"],
        }
        for index in range(ROWS)
    ]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_run(folder: Path, base: Path, config: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    """A complete run folder; returns it."""
    folder.mkdir(parents=True)
    shutil.copytree(base, folder / "base")
    for program in PROGRAMS:
        shutil.copy(program, folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_lines(folder / "data" / "train.jsonl", rows)
    queries, documents = tiny_texts(8, 4), tiny_texts(16, 8, offset=1000)
    for split in ("test", "validation"):
        place = folder / "data" / split
        write_lines(
            place / "queries.jsonl", [{"id": f"q{i}", "text": t, "slices": {}} for i, t in enumerate(queries)]
        )
        write_lines(place / "corpus.jsonl", [{"id": f"d{i}", "text": t} for i, t in enumerate(documents)])
        write_lines(
            place / "qrels.jsonl",
            [{"query_id": f"q{i}", "document_id": f"d{i}", "grade": 1} for i in range(8)],
        )
    return folder


def read_events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
