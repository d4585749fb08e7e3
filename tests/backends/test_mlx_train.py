"""The mlx programs on a tiny decoder: what is trained, against torch; what is shipped; what stops a run."""

import ast
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.backends.llm_common import (
    BACKENDS,
    backend_programs,
    finish_run,
    llm_rows,
    make_llm_run_folder,
    mean_loss,
    read_info,
    read_lines,
    start_run,
)
from tests.tiny_llm import make_tiny_llm

Load = Callable[[str], Any]
NewRun = Callable[..., Path]
PLAIN = {"MLX_DISABLE_COMPILE": "1"}  # compiling takes longer than running
STAGES = ("score_base", "train", "score_tuned")


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    import mlx.core as mx

    mx.disable_compile()
    with backend_programs("mlx") as importer:
        yield importer
    mx.enable_compile()


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


def settings_of(load: Load, folder: Path) -> Any:
    return load("llm_settings").read_settings(folder / "config.json")


def run(load: Load, folder: Path, *stages: str, stop_at: int | None = None) -> Path:
    """The stages in this process; the folder. `stop_at`: ask to stop when this step is logged."""
    events, stop = load("events"), SimpleNamespace(asked=False)

    class Watched(events.StageEvents):  # type: ignore[misc, name-defined]
        def emit(self, event: str, **values: Any) -> None:
            super().emit(event, **values)
            stop.asked = stop.asked or (event == "log" and values["step"] == stop_at)

    settings = settings_of(load, folder)
    with events.Events(folder / "events.jsonl") as stream:
        for stage in stages or STAGES:
            partial = folder / "out" / f"{stage}.partial"
            partial.mkdir(parents=True, exist_ok=True)
            load("main").ROOT = folder
            load("main").work(stage, settings, stop)(partial, Watched(stream, stage))
            partial.rename(partial.with_name(stage))
    return folder


def tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(path)
    return found


def logits_of_transformers(folder: Path, rows: list[dict[str, Any]]) -> list[np.ndarray]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    with torch.no_grad():
        return [model(torch.tensor([row["input_ids"]])).logits[0].numpy() for row in rows]


def nll(logits: np.ndarray, row: dict[str, Any]) -> float:
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    targets = [place for place, trained in enumerate(row["mask"]) if trained]
    return -float(sum(logs[place - 1, row["input_ids"][place]] for place in targets))


def test_a_lora_run_learns_and_loads_everywhere(load: Load, new_run: NewRun, base: Path) -> None:
    import mlx_lm

    held_out = llm_rows(base, 6, offset=500)
    folder = run(load, new_run(validation=held_out, config={"train": {"total_steps": 16, "eval_steps": 8}}))
    assert mean_loss(folder, "score_tuned") < mean_loss(folder, "score_base") - 1
    out, test = folder / "out", read_lines(folder / "data" / "test.jsonl")

    merged = logits_of_transformers(out / "train" / "model", test)
    for stage, logits in (("score_tuned", merged), ("score_base", logits_of_transformers(base, test))):
        lines = read_lines(out / stage / "losses.jsonl")
        assert [line["id"] for line in lines] == [row["id"] for row in test]
        assert [line["tokens"] for line in lines] == [sum(row["mask"]) for row in test]
        expected = [nll(part, row) for part, row in zip(logits, test, strict=True)]
        assert [line["nll"] for line in lines] == pytest.approx(expected, rel=1e-4)
        assert len(read_lines(out / stage / "answers.jsonl")) == 2

    import mlx.core as mx

    adapted, tokenizer = mlx_lm.load(str(base), adapter_path=str(out / "train" / "adapter"))[:2]
    whole = mlx_lm.load(str(out / "train" / "model"))[0]
    assert tokenizer.eos_token_id == 3
    for row, expected_logits in zip(test, merged, strict=True):
        for model in (adapted, whole):
            found = np.array(model(mx.array([row["input_ids"]]))[0])
            np.testing.assert_allclose(found, expected_logits, atol=1e-4)

    info = read_info(folder, "train")
    assert info["parity"]["max_abs_logit_difference"] < 1e-4
    assert info["parity"]["argmax_agreement"] == 1
    assert (info["steps"], info["warm_started"], info["resumed_from_step"]) == (16, False, None)
    assert info["peak_memory_bytes"] > 1e8
    curve = read_lines(out / "train" / "curve.jsonl")
    assert [line["step"] for line in curve if "loss" in line] == list(range(2, 17, 2))
    checked = [line["eval"]["loss"] for line in curve if "eval" in line]
    final = logits_of_transformers(out / "train" / "model", held_out)
    total = sum(nll(part, row) for part, row in zip(final, held_out, strict=True))
    assert checked[-1] == pytest.approx(total / sum(sum(row["mask"]) for row in held_out), rel=1e-4)
    assert not (out / "train" / "checkpoints").exists()
    assert json.loads((out / "train" / "model" / "config.json").read_text())["rope_theta"] == 10000


def test_answers_are_those_of_transformers(load: Load, new_run: NewRun, base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [row for words in (3, 9, 5, 7, 12) for row in llm_rows(base, 1, offset=words, words=words)]
    score = {"batch_size": 2, "generate_rows": 5, "max_new_tokens": 12}
    train = {"total_steps": 20, "learning_rate": 2e-2}
    folder = run(load, new_run(test=rows, config={"score": score, "train": train}))
    model = AutoModelForCausalLM.from_pretrained(str(folder / "out" / "train" / "model"), dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(base))
    answers = []
    for row in rows:
        prompt = torch.tensor([row["input_ids"][: row["prompt_length"]]])
        written = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12
        )[0, prompt.shape[1] :]
        answers.append(tokenizer.decode(written, skip_special_tokens=True))
    lines = read_lines(folder / "out" / "score_tuned" / "answers.jsonl")
    assert [line["text"] for line in lines] == answers
    assert any(answers)


def torch_curve(load: Load, folder: Path, adapters: dict[str, np.ndarray]) -> list[float]:
    """Losses of the same run in torch and peft, written down from the contract."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, get_scheduler

    settings = settings_of(load, folder)
    wishes, train = settings.adapter, settings.train
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder / "base"), dtype=torch.float32)
    if wishes is not None:
        options = LoraConfig(
            r=wishes.r,
            lora_alpha=wishes.alpha,
            target_modules=list(wishes.target_modules),
            use_dora=wishes.type == "dora",
        )
        model = get_peft_model(model, options)
        for name, value in model.named_parameters():
            if "lora_A" in name:
                place = name.removeprefix("base_model.model.").replace(".lora_A.default.weight", ".lora_a")
                value.data = torch.tensor(adapters[place].T.copy())
    named = [(name, item) for name, item in model.named_parameters() if item.requires_grad]
    groups = [
        {"params": [item for name, item in named if load("native").decays(name)], "weight_decay": 0.1},
        {"params": [item for name, item in named if not load("native").decays(name)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=train.learning_rate)
    scheduler = get_scheduler(train.lr_scheduler_type, optimizer, train.warmup_steps, train.total_steps)
    rows = read_lines(folder / "data" / "train.jsonl")
    size = train.global_batch_size
    order = load("order").training_order(len(rows), train.seed, train.total_steps * size)
    losses = []
    for step in range(train.total_steps):
        batch = [rows[index] for index in order[step * size : (step + 1) * size]]
        total = torch.zeros(())
        for row in batch:
            ids = torch.tensor(row["input_ids"])
            mask = torch.tensor(row["mask"], dtype=torch.float32)[1:]
            values = torch.nn.functional.cross_entropy(
                model(ids[None]).logits[0, :-1], ids[1:], reduction="none"
            )
            total = total + (values * mask).sum()
        loss = total / sum(sum(row["mask"]) for row in batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([item for _, item in named], train.max_grad_norm)
        optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
    return losses


EXACT = {
    "train": {
        "total_steps": 10,
        "logging_steps": 1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 2,
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "learning_rate": 3e-3,
    },
}


@pytest.mark.parametrize("kind", ["lora", "dora", "full"])
def test_every_step_is_that_of_torch(load: Load, new_run: NewRun, qwen: Path, kind: str) -> None:
    """Ten steps of five rows, of which the last batches reach into a second epoch."""
    adapter = None if kind == "full" else {"type": kind, "alpha": 20}
    rows = [row for words in range(3, 16) for row in llm_rows(qwen, 2, offset=words, words=words)]
    batch = {"machine": {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 1}}
    train = {**EXACT["train"], "global_batch_size": 5}
    folder = new_run(model=qwen, rows=rows, config={"adapter": adapter, "train": train, **batch})
    module, start = load("train"), {}
    if kind != "full":
        from mlx.utils import tree_flatten

        made = module.prepare(folder, settings_of(load, folder))
        start = {n: np.array(v) for n, v in tree_flatten(made.loaded.model.trainable_parameters())}
    run(load, folder, "train")
    found = [line["loss"] for line in read_lines(folder / "out" / "train" / "curve.jsonl")]
    expected = torch_curve(load, folder, start)
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    assert found == pytest.approx(expected, abs=1e-3)
    assert found[-1] < found[0] - 0.5


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_accumulated_parts_are_the_whole_batch(load: Load, new_run: NewRun, base: Path, kind: str) -> None:
    """Rows differ in their number of targets, so that a mean of means would differ."""
    rows = [row for words in range(3, 16) for row in llm_rows(base, 1, offset=words, words=words)]
    for index, row in enumerate(rows):
        row["mask"] = [int(place > 0 and place >= index) for place in range(len(row["mask"]))]
        row["mask"][-1] = 1
    curves = []
    for size, parts in ((6, 1), (2, 3), (1, 6)):
        machine = {"per_device_train_batch_size": size, "gradient_accumulation_steps": parts}
        config = {"train": {**EXACT["train"], "global_batch_size": 6}, "machine": machine}
        config |= {"adapter": None} if kind == "full" else {}
        folder = run(load, new_run(f"run{size}", rows=rows, config=config), "train")
        curves.append(read_lines(folder / "out" / "train" / "curve.jsonl"))
    for other in curves[1:]:
        for one, two in zip(curves[0], other, strict=True):
            assert two["loss"] == pytest.approx(one["loss"], rel=2e-5)
            assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)


def test_packed_rows_are_taken_apart(load: Load, new_run: NewRun, base: Path) -> None:
    rows = llm_rows(base, 8)
    pairs = [
        {
            "id": one["id"],
            "input_ids": one["input_ids"] + two["input_ids"],
            "mask": one["mask"] + two["mask"],
            "prompt_length": one["prompt_length"],
            "segments": [0, len(one["input_ids"])],
        }
        for one, two in zip(rows[::2], rows[1::2], strict=True)
    ]
    batches = load("batches")
    parsed = [
        load("llm_rows").TokenRow(**{key: tuple(v) if isinstance(v, list) else v for key, v in pair.items()})
        for pair in pairs
    ]
    assert [list(tokens) for tokens, _ in batches.apart(parsed)] == [row["input_ids"] for row in rows]
    folder = run(load, new_run(rows=pairs, config={"data": {"packing": True}}), "train")
    assert read_info(folder, "train")["steps"] == 8


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


@pytest.mark.parametrize(("bits", "dtype"), [(4, "fp32"), (8, "bf16")])
def test_a_quantised_base_is_made_whole_again(
    load: Load, new_run: NewRun, qwen: Path, bits: int, dtype: str
) -> None:
    import mlx.core as mx

    config = {
        "model": {"quantization_bits": bits},
        "adapter": {"type": "qlora", "layers": 1},
        "export": {"dtype": dtype},
    }
    folder = run(load, new_run(model=qwen, config=config))
    before = mx.load(str(qwen / "model.safetensors"))
    after: Any = mx.load(str(folder / "out" / "train" / "model" / "model.safetensors"))
    assert before.keys() == after.keys()
    name = "model.layers.0.mlp.up_proj.weight"  # has no adapter
    rounded = mx.dequantize(*mx.quantize(before[name], 64, bits), 64, bits)
    assert mx.array_equal(after[name], rounded.astype(after[name].dtype))
    assert mx.array_equal(
        after["model.embed_tokens.weight"], before["model.embed_tokens.weight"].astype(after[name].dtype)
    )
    assert mean_loss(folder, "score_tuned") < mean_loss(folder, "score_base") - 0.5
    info = read_info(folder, "train")
    assert info["parity"]["max_abs_logit_difference"] <= info["parity"]["tolerance"]
    assert info["total_parameters"] - info["trainable_parameters"] == sum(v.size for v in before.values())
    test = read_lines(folder / "data" / "test.jsonl")
    logits = logits_of_transformers(folder / "out" / "train" / "model", test)
    lines = read_lines(folder / "out" / "score_tuned" / "losses.jsonl")
    expected = [nll(part, row) for part, row in zip(logits, test, strict=True)]
    assert [line["nll"] for line in lines] == pytest.approx(expected, rel=1e-4)


def test_an_adapter_alone_is_scored_over_its_base(load: Load, new_run: NewRun, qwen: Path) -> None:
    config = {"model": {"quantization_bits": 4}, "adapter": {"type": "qlora"}}
    merged = run(load, new_run("merged", model=qwen, config=config))
    apart = run(load, new_run("apart", model=qwen, config={**config, "export": {"merge": False}}))
    assert not (apart / "out" / "train" / "model").exists()
    assert read_info(apart, "train")["parity"] is None
    one, two = (read_lines(made / "out" / "score_tuned" / "losses.jsonl") for made in (merged, apart))
    assert [line["nll"] for line in one] == pytest.approx([line["nll"] for line in two], rel=1e-4)


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
