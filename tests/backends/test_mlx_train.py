"""What the mlx programs train, on a tiny decoder: against torch, peft and transformers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.llm_common import llm_rows, make_llm_run_folder, mean_loss, read_info, read_lines
from tests.backends.mlx_common import (
    Load,
    logits_of_transformers,
    mlx_programs,
    nll,
    run,
    settings_of,
)
from tests.tiny_llm import make_tiny_llm

NewRun = Callable[..., Path]


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
    tokens, mask = batches.arrays(parsed)
    assert tokens.shape == mask.shape == (8, max(len(row["input_ids"]) for row in rows))
    assert batches.arrays(parsed, limit=64)[0].shape == (8, 33)  # one more than a multiple of 32
    assert batches.arrays(parsed, limit=30)[0].shape == (8, 30)
    folder = run(load, new_run(rows=pairs, config={"data": {"packing": True}}), "train")
    assert read_info(folder, "train")["steps"] == 8


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
    # The base is scored in the form that is shipped: unquantised beside a merged model.
    test = read_lines(merged / "data" / "test.jsonl")
    plain = [nll(part, row) for part, row in zip(logits_of_transformers(qwen, test), test, strict=True)]
    one, two = (read_lines(made / "out" / "score_base" / "losses.jsonl") for made in (merged, apart))
    assert [line["nll"] for line in one] == pytest.approx(plain, rel=1e-4)
    assert [line["nll"] for line in two] != pytest.approx(plain, rel=1e-4)
