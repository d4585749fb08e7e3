"""The course of an mlx run: what stops it, how it goes on, how it is written, what it imports."""

import ast
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.llm_common import (
    BACKENDS,
    STAGES,
    finish_run,
    llm_rows,
    make_llm_run_folder,
    mean_loss,
    read_info,
    read_lines,
    start_run,
)
from tests.backends.mlx_common import Load, logits_of_transformers, mlx_programs, run, tensors
from tests.tiny_llm import make_tiny_llm

NewRun = Callable[..., Path]
PLAIN = {"MLX_DISABLE_COMPILE": "1"}  # compiling takes longer than running


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with mlx_programs() as importer:
        yield importer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "llama")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "qwen2", architecture="qwen2")


@pytest.fixture
def new_run(tmp_path: Path, base: Path) -> NewRun:
    def make(name: str = "run", model: Path = base, **options: Any) -> Path:
        config = options.pop("config", {})
        return make_llm_run_folder(tmp_path / name, "mlx", model, **options, **config)

    return make


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_run_that_goes_on_ends_like_the_undisturbed_one(
    load: Load, new_run: NewRun, base: Path, checkpointing: bool
) -> None:
    """Bytes are equal, with dropout, and with layers that are computed twice."""
    config = {
        "adapter": {"dropout": 0.3},
        "train": {"total_steps": 9, "save_steps": 4, "logging_steps": 1},
        "machine": {"gradient_checkpointing": checkpointing},
    }
    whole = run(load, new_run("whole", config=config), "train")
    parts = new_run("parts", config=config)
    for step in (2, 5):
        with pytest.raises(load("events").InterruptedRunError):
            run(load, parts, "train", stop_at=step)
    run(load, parts, "train")
    assert read_info(parts, "train")["resumed_from_step"] == 5
    for path in ("train/adapter/adapters.safetensors", "train/model/model.safetensors", "train/curve.jsonl"):
        assert (parts / "out" / path).read_bytes() == (whole / "out" / path).read_bytes()
    if checkpointing:
        config = {**config, "machine": {"gradient_checkpointing": False}}
        plain = run(load, new_run("plain", config=config), "train")
        one, two = (
            tensors(made / "out" / "train" / "model" / "model.safetensors") for made in (plain, whole)
        )
        assert all(np.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_full_training_in_bf16_goes_on_exactly(load: Load, new_run: NewRun, qwen: Path) -> None:
    config = {
        "adapter": None,
        "train": {"total_steps": 6, "save_steps": 3, "logging_steps": 1, "learning_rate": 1e-3},
        "machine": {"precision": "bf16"},
    }
    whole = run(load, new_run("whole", model=qwen, config=config))
    parts = new_run("parts", model=qwen, config=config)
    with pytest.raises(load("events").InterruptedRunError):
        run(load, parts, "train", stop_at=3)
    run(load, parts, "train")
    weights = [tensors(made / "out" / "train" / "model" / "model.safetensors") for made in (whole, parts)]
    assert weights[0].keys() == tensors(qwen / "model.safetensors").keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not any(np.array_equal(v, v.astype(np.float16)) for v in weights[0].values())  # masters, unrounded
    assert mean_loss(whole, "score_tuned") < mean_loss(whole, "score_base") - 0.5
    assert read_info(whole, "train")["parity"] is None
    assert not (whole / "out" / "train" / "adapter").exists()


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"train": {"learning_rate": 1e30, "max_grad_norm": 0.0}}, "FTS607", "the loss of step"),
        ({"model": {"trainable_parameters": 5}}, "FTS652", "planned are 5"),
        ({"adapter": {"target_modules": ["query"]}}, "FTS652", "there are down_proj"),
        ({"machine": {"device": "mps"}}, "FTS606", "no mps device here"),
        ({"train": {"total_steps": 10}, "checks": {"divergence": "fail", "divergence_factor": 0.1}},
         "FTS650", "the bound is 0.1 times"),
    ],
)  # fmt: skip
def test_what_fails_a_run(load: Load, new_run: NewRun, config: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(load("events").CheckFailedError, match=words) as fault:
        run(load, new_run(config=config), "train")
    assert fault.value.code == code


def test_tokens_beyond_the_embeddings_are_refused(load: Load, new_run: NewRun, base: Path) -> None:
    """mlx does not check them: it would read other memory, and train on noise."""
    rows = llm_rows(base, 8)
    rows[3]["input_ids"][0] = 488
    with pytest.raises(load("events").CheckFailedError, match="row row-3 has tokens beyond the 488") as fault:
        run(load, new_run(rows=rows), "train")
    assert fault.value.code == "FTS653"


def test_large_models_are_written_in_parts(
    load: Load, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlx.core as mx

    weights = load("weights")
    loaded = weights.load(base, "fp32", positions=64)

    def two(made: dict[str, Any]) -> list[dict[str, Any]]:
        names = sorted(made)
        return [{name: made[name] for name in part} for part in (names[:5], names[5:])]

    monkeypatch.setattr(weights, "make_shards", two)
    given = dict(mx.load(str(base / "model.safetensors")))
    del given["model.norm.weight"]  # as if mlx_lm did not hold it
    weights.save(loaded, given, tmp_path / "model", "fp16")
    index = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(mx.load(str(base / "model.safetensors")))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "float16"
    expected = logits_of_transformers(base, llm_rows(base, 1))[0]
    np.testing.assert_allclose(
        logits_of_transformers(tmp_path / "model", llm_rows(base, 1))[0], expected, atol=0.02
    )


def steps_of(folder: Path, event: str) -> list[int]:
    path = folder / "events.jsonl"
    return [line["step"] for line in read_lines(path) if line["event"] == event] if path.exists() else []


def wait_for(folder: Path, process: Any, event: str, step: int) -> None:
    deadline = time.monotonic() + 120
    while not any(found >= step for found in steps_of(folder, event)):
        assert process.poll() is None, (folder / "trainer.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_processes_that_are_killed_and_stopped(load: Load, new_run: NewRun) -> None:
    config = {"train": {"total_steps": 80, "save_steps": 10, "logging_steps": 50, "learning_rate": 1e-4}}
    parts = new_run("parts", config=config)
    process = start_run(parts, "--stages", "train", env=PLAIN)
    wait_for(parts, process, "checkpoint", 10)
    process.kill()
    process.wait()
    process = start_run(parts, "--stages", "train", env=PLAIN)
    wait_for(parts, process, "checkpoint", 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130, (parts / "trainer.log").read_text()
    run(load, parts, "train")
    assert len(steps_of(parts, "resumed")) == 2
    whole = run(load, new_run("whole", config=config), "train")
    path = Path("out") / "train" / "model" / "model.safetensors"
    assert (whole / path).read_bytes() == (parts / path).read_bytes()


@pytest.mark.slow
def test_all_stages_without_ftspec(new_run: NewRun) -> None:
    """As it is run, with compiled steps."""
    folder = new_run()
    assert finish_run(folder) == 0, (folder / "trainer.log").read_text()
    for stage in STAGES:
        assert json.loads((folder / "out" / stage / "DONE.json").read_text())["key"] == f"sha256:{stage}"
    assert mean_loss(folder, "score_tuned") < mean_loss(folder, "score_base")
    assert finish_run(folder) == 0
    assert len([e for e in read_lines(folder / "events.jsonl") if e["event"] == "start"]) == 3


def test_programs_import_only_what_a_run_folder_has() -> None:
    from ftspec.target.load import load_targets

    target = next(found for found in load_targets([BACKENDS])[0] if found.name == "mlx")
    programs = [target.folder / name for name in target.programs]
    assert sorted(programs) == sorted((BACKENDS / "mlx" / "programs").glob("*.py"))
    files = [*programs, *(BACKENDS / "common" / name for name in target.helpers)]
    own = {path.stem for path in files}
    allowed = {"mlx", "mlx_lm", "numpy", "scipy"}
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                lazy = top == "torch" and path.name in {
                    "memory.py",
                    "ranks.py",
                }  # of several processes, on CUDA
                assert lazy or top in own | allowed | sys.stdlib_module_names, f"{path.name} imports {name}"
