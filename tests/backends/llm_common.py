"""A run folder of an LLM backend on a tiny model, made without ftspec: config, tokens, programs."""

import contextlib
import importlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.tiny_llm import END, START
from tests.tiny_model import tiny_texts

BACKENDS = Path(__file__).resolve().parents[2] / "backends"
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
STAGES = ("score_base", "train", "score_tuned")
# What a run sees on a machine that has the backend's libraries and not ftspec.
WITHOUT_FTSPEC = (
    "import runpy, sys; sys.modules['ftspec'] = None; sys.path.insert(0, sys.argv[1]); "
    "sys.argv = sys.argv[1:]; sys.argv[0] += '/main.py'; runpy.run_path(sys.argv[0], run_name='__main__')"
)

Row = dict[str, Any]


def llm_rows(model: Path, count: int, *, offset: int = 0, words: int = 6, name: str = "row") -> list[Row]:
    """Tokenised chat rows of one question and one answer: the answer says the question's first two words.

    Only the answer and its end are trained. Different `offset`, different rows.
    """
    questions = tiny_texts(count, words, offset)
    return [
        tokenize_row(model, f"{name}-{offset + index}", text, " ".join(text.split()[:2]))
        for index, text in enumerate(questions)
    ]


def tokenize_row(model: Path, id: str, question: str, answer: str) -> Row:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    prompt = f"{START}user\n{question}{END}\n{START}assistant\n"
    first = tokenizer.encode(prompt, add_special_tokens=False).ids
    rest = tokenizer.encode(answer + END, add_special_tokens=False).ids
    return {
        "id": id,
        "input_ids": first + rest,
        "mask": [0] * len(first) + [1] * len(rest),
        "prompt_length": len(first),
    }


def llm_config(model: Path) -> dict[str, Any]:
    """A valid config.json: LoRA on every linear layer, 8 steps of 4 rows in fp32 on the CPU."""
    adapter = {
        "type": "lora",
        "r": 8,
        "alpha": 16,
        "dropout": 0.0,
        "target_modules": list(LINEAR),
        "layers": None,
    }
    return {
        "format": 1,
        "kind": "LLM",
        "name": "tiny",
        "stages": [{"name": name, "key": f"sha256:{name}"} for name in STAGES],
        "model": {
            "folder": "base",
            "max_seq_length": 64,
            "trust_remote_code": False,
            "attn_implementation": "sdpa",
            "quantization_bits": None,
            "trainable_parameters": trainable_parameters(model, adapter),
            "keeps_window": True,
        },
        "adapter": adapter,
        "data": {"folder": "data", "packing": False},
        "train": {
            "global_batch_size": 4,
            "total_steps": 8,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "linear",
            "lr_num_cycles": None,
            "warmup_steps": 1,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "optim": "adamw",
            "seed": 7,
            "eval_steps": None,
            "save_steps": 4,
            "logging_steps": 2,
        },
        "checks": {"rising_loss": "off", "divergence": "off", "divergence_factor": 3.0},
        "score": {"batch_size": 4, "generate_rows": 2, "max_new_tokens": 8},
        "machine": {
            "device": "cpu",
            "num_processes": 1,
            "num_threads": 1,
            "precision": "fp32",
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "gradient_checkpointing": False,
        },
        "export": {"merge": True, "dtype": "fp32"},
    }


def trainable_parameters(model: Path, adapter: Mapping[str, Any] | None) -> int:
    """How many parameters an adapter trains, or all of the model's (`adapter` None), by the file's header."""
    shapes = {
        name: entry["shape"]
        for name, entry in _header(model / "model.safetensors").items()
        if name != "__metadata__"
    }
    if adapter is None:
        return sum(math.prod(shape) for shape in shapes.values())
    depth = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    first = 0 if adapter["layers"] is None else depth - adapter["layers"]
    total = 0
    for name, shape in shapes.items():
        parts = name.split(".")
        if parts[-1] != "weight" or parts[-2] not in adapter["target_modules"] or len(shape) != 2:
            continue
        if "layers" in parts and int(parts[parts.index("layers") + 1]) >= first:
            total += adapter["r"] * (shape[0] + shape[1]) + (shape[0] if adapter["type"] == "dora" else 0)
    return total


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        found: dict[str, Any] = json.loads(file.read(size))
        return found


def merged(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with sections of `changes` laid over it, key by key; a section may become None."""
    out = dict(config)
    for key, value in changes.items():
        out[key] = {**out[key], **value} if isinstance(value, dict) and out[key] is not None else value
    return out


def make_llm_run_folder(
    folder: Path,
    backend: str,
    model: Path,
    /,
    rows: Sequence[Row] | None = None,
    *,
    test: Sequence[Row] | None = None,
    validation: Sequence[Row] | None = None,
    **overrides: Any,
) -> Path:
    """A complete run folder of `backend` at `folder`, which must not exist; returns it.

    `rows`: tokenised training rows (default: 32 of llm_rows); `test` (default: 8 others); `validation`
    rows are written only when given. `overrides`: sections of llm_config to change; the number of
    trainable parameters follows the adapter unless it is among them.
    """
    config = merged(llm_config(model), overrides)
    if "trainable_parameters" not in overrides.get("model", {}):
        count = trainable_parameters(model, config["adapter"])
        config["model"] = {**config["model"], "trainable_parameters": count}
    folder.mkdir(parents=True)
    shutil.copytree(model, folder / "base")
    for programs in program_folders(backend):
        for program in programs.glob("*.py"):
            shutil.copy(program, folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_rows(folder / "data" / "train.jsonl", llm_rows(model, 32) if rows is None else rows)
    held_out = llm_rows(model, 8, offset=1000, name="test")
    write_rows(folder / "data" / "test.jsonl", held_out if test is None else test)
    if validation is not None:
        write_rows(folder / "data" / "validation.jsonl", validation)
    return folder


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines that are there to their end: a run may be writing the next one."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def read_info(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / stage / "info.json").read_text(encoding="utf-8"))
    return found


def mean_loss(folder: Path, stage: str) -> float:
    """Nats a token over the held-out rows."""
    lines = read_lines(folder / "out" / stage / "losses.jsonl")
    return sum(line["nll"] for line in lines) / sum(line["tokens"] for line in lines)


def program_folders(backend: str) -> list[Path]:
    """Where its programs lie; of two files of one name the later one counts."""
    own = {"unsloth": ["trl", "unsloth"]}.get(backend, [backend])
    return [BACKENDS / "common", *(BACKENDS / name / "programs" for name in own)]


@contextlib.contextmanager
def backend_programs(backend: str) -> Iterator[Callable[[str], Any]]:
    """A function that imports programs and helpers by their flat names, as a run folder's process does.

    The names are common ones, so they leave when the context ends.
    """
    folders = program_folders(backend)[::-1]
    names = {path.stem for folder in folders for path in folder.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path[:0] = map(str, folders)
    try:
        yield importlib.import_module
    finally:
        for folder in folders:
            sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def start_run(
    folder: Path, *options: str, python: str = sys.executable, **keywords: Any
) -> "subprocess.Popen[bytes]":
    """The run folder's main.py as a process; its output goes to trainer.log."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **keywords.pop("env", {})}
    with (folder / "trainer.log").open("ab") as log:
        return subprocess.Popen(
            [python, "-c", WITHOUT_FTSPEC, str(folder), *options],
            env=environment, stdout=log, stderr=log, cwd="/", **keywords,
        )  # fmt: skip


def finish_run(folder: Path, *options: str, timeout: float = 300, **keywords: Any) -> int:
    return start_run(folder, *options, **keywords).wait(timeout=timeout)
