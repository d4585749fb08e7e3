"""The plan's words as mlx options, against transformers and torch: schedules, optimizers, adapters, positions."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from tests.backends.llm_common import llm_config, make_llm_run_folder
from tests.backends.mlx_common import Load, mlx_programs
from tests.tiny_llm import make_tiny_llm

THETA = 500_000.0
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
POSITIONS: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "llama3": LLAMA3,
    "yarn": YARN,
    "yarn-factors": {**YARN, "beta_fast": 16.0, "mscale": 1.0, "mscale_all_dim": 0.5},
}


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with mlx_programs() as importer:
        yield importer


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("llm")
    return {name: make_tiny_llm(root / name, architecture=name, layers=3) for name in ("llama", "qwen2")}


@pytest.fixture(scope="module")
def llama(load: Load, bases: dict[str, Path]) -> Any:
    return load("weights").load(bases["llama"], "fp32", positions=64)


def train_settings(load: Load, base: Path, **changes: Any) -> Any:
    module, strict = load("llm_settings"), load("strict")
    return strict.parse(module.Train, {**llm_config(base)["train"], **changes}, "train")


def adapter(load: Load, base: Path, **changes: Any) -> Any:
    module, strict = load("llm_settings"), load("strict")
    return strict.parse(module.Adapter, {**llm_config(base)["adapter"], **changes}, "adapter")


@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("linear", None),
        ("cosine", None),
        ("cosine_with_restarts", 1),
        ("cosine_with_restarts", 3),
        ("polynomial", None),
        ("constant", None),
        ("constant_with_warmup", None),
    ],
)
@pytest.mark.parametrize(("total", "warmup"), [(12, 0), (99, 9), (20, 20), (1, 0)])
def test_schedules_are_those_of_transformers(
    load: Load, bases: dict[str, Path], name: str, cycles: int | None, total: int, warmup: int
) -> None:
    import torch
    from transformers import get_scheduler

    wanted = train_settings(
        load,
        bases["llama"],
        lr_scheduler_type=name,
        lr_num_cycles=cycles,
        total_steps=total,
        warmup_steps=warmup,
        learning_rate=3e-4,
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    options: Any = {} if cycles is None else {"num_cycles": cycles}
    scheduler = get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=options)
    expected = [scheduler.get_last_lr()[0]]
    for _ in range(1, total):
        optimizer.step()
        scheduler.step()
        expected.append(scheduler.get_last_lr()[0])
    assert load("native").learning_rates(wanted) == pytest.approx(expected, rel=1e-12, abs=1e-18)


NAMES = ("matrix", "input_layernorm", "bias")


@pytest.mark.parametrize("optim", ["adamw", "adafactor", "sgd"])
@pytest.mark.parametrize("master", [False, True])
def test_optimizers_are_those_of_torch(load: Load, bases: dict[str, Path], optim: str, master: bool) -> None:
    """Ten steps on the same gradients, with decay, clipping and a schedule."""
    import mlx.core as mx
    import mlx.nn as nn
    import torch
    from mlx.utils import tree_flatten
    from transformers import get_scheduler
    from transformers.optimization import Adafactor

    wanted = train_settings(
        load,
        bases["llama"],
        optim=optim,
        weight_decay=0.1,
        learning_rate=1e-2,
        total_steps=10,
        warmup_steps=2,
    )
    random = np.random.default_rng(0)
    shapes = {NAMES[0]: (6, 4), NAMES[1]: (4,), NAMES[2]: (3,)}
    start = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    groups = [
        {"params": [theirs[NAMES[0]]], "weight_decay": 0.1},
        {"params": [theirs[NAMES[1]], theirs[NAMES[2]]], "weight_decay": 0.0},
    ]
    made: Any = {
        "adamw": lambda: torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-8),
        "adafactor": lambda: Adafactor(groups, lr=1e-2, scale_parameter=False, relative_step=False),
        "sgd": lambda: torch.optim.SGD(groups, lr=1e-2),
    }[optim]()
    scheduler = get_scheduler("linear", made, 2, 10)

    ours: Any = nn.Module()
    for name, value in start.items():
        ours[name] = mx.array(value)
    optimizer = load("native").build_optimizer(wanted, master=master)
    optimizer.init(ours.trainable_parameters())
    for _ in range(10):
        gradients = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for name, value in gradients.items():
            theirs[name].grad = torch.tensor(value)
        norm = torch.nn.utils.clip_grad_norm_(list(theirs.values()), 1.0)
        made.step()
        scheduler.step()
        optimizer.update(ours, {name: mx.array(value) for name, value in gradients.items()})
        assert optimizer.grad_norm == pytest.approx(float(norm), rel=1e-5)
    for name, value in dict(tree_flatten(ours.parameters())).items():
        np.testing.assert_allclose(np.array(value), theirs[name].detach().numpy(), rtol=2e-5, atol=2e-6)
    assert set(optimizer.masters()) == (set(start) if master else set())


def test_masters_keep_what_bf16_loses(load: Load, bases: dict[str, Path]) -> None:
    import mlx.core as mx
    import mlx.nn as nn

    wanted = train_settings(
        load, bases["llama"], optim="sgd", learning_rate=1e-4, lr_scheduler_type="constant", max_grad_norm=0.0
    )
    ours: Any = nn.Module()
    ours["w"] = mx.ones((4,))
    optimizer = load("native").build_optimizer(wanted, master=True)
    optimizer.init(ours.trainable_parameters())
    ours.set_dtype(mx.bfloat16)
    for _ in range(8):
        optimizer.update(ours, {"w": mx.ones((4,), dtype=mx.bfloat16)})
    assert optimizer.masters()["w"].tolist() == pytest.approx([1 - 8e-4] * 4, rel=1e-6)
    assert ours["w"].dtype == mx.bfloat16


def test_the_same_parameters_decay_as_in_transformers(load: Load, bases: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, Trainer

    for base in bases.values():
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
        expected = set(Trainer.get_decay_parameter_names(None, model))  # type: ignore[arg-type]
        names = {name for name, _ in model.named_parameters()}  # a tied matrix once
        assert {name for name in names if load("native").decays(name)} == expected & names
        assert 0 < len(expected) < len(names)


def test_adapter_options(load: Load, bases: dict[str, Path], llama: Any) -> None:
    native = load("native")
    config = native.adapter_config(adapter(load, bases["llama"], r=8, alpha=20, dropout=0.1), llama.model)
    keys = [f"mlp.{name}" for name in ("down_proj", "gate_proj", "up_proj")]
    keys += [f"self_attn.{name}" for name in ("k_proj", "o_proj", "q_proj", "v_proj")]
    assert config == {
        "fine_tune_type": "lora",
        "num_layers": -1,
        "lora_parameters": {"rank": 8, "scale": 2.5, "dropout": 0.1, "keys": keys},
    }
    some = adapter(load, bases["llama"], type="dora", layers=2, target_modules=["self_attn.q_proj"])
    config = native.adapter_config(some, llama.model)
    assert (config["fine_tune_type"], config["num_layers"]) == ("dora", 2)
    assert config["lora_parameters"]["keys"] == ["self_attn.q_proj"]
    outside = adapter(load, bases["llama"], target_modules=["q_proj", "lm_head"])
    assert native.adapter_keys(outside, llama.model) == ["lm_head", "self_attn.q_proj"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": 4}, "last 4 of 3 layers"),
        ({"target_modules": ["q_proj", "c_attn"]}, "no linear module is called c_attn"),
        ({"target_modules": ["lm_head"], "layers": 1}, "lm_head"),
        ({"target_modules": ["input_layernorm"]}, "input_layernorm"),
    ],
)
def test_adapters_that_fit_nowhere_are_refused(
    load: Load, bases: dict[str, Path], llama: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(load("events").CheckFailedError, match=words) as fault:
        load("native").adapter_config(adapter(load, bases["llama"], **changes), llama.model)
    assert fault.value.code == "FTS652"


def test_steps_become_iterations(load: Load, bases: dict[str, Path], tmp_path: Path) -> None:
    folder = make_llm_run_folder(tmp_path / "run", "mlx", bases["llama"])
    settings = load("llm_settings").read_settings(folder / "config.json")
    args = load("native").training_args(settings, 5, tmp_path / "unused")
    assert (args.iters, args.grad_accumulation_steps, args.steps_per_report) == (10, 2, 2)
    assert (args.batch_size, args.max_seq_length, args.grad_checkpoint) == (2, 64, False)


def test_dropout_follows_its_key(load: Load) -> None:
    import mlx.core as mx

    dropout = load("adapters").KeyedDropout(0.25)
    assert not dropout.parameters()
    values = mx.ones((100, 100))
    first, again = dropout(values), dropout(values)
    assert mx.array_equal(first, again)
    assert sorted(set(first.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert float(first.mean()) == pytest.approx(1, abs=0.03)
    dropout.give(mx.random.key(5))
    assert not mx.array_equal(dropout(values), first)
    assert mx.array_equal(dropout.eval()(values), values)


def test_each_micro_batch_and_module_drops_others(load: Load, bases: dict[str, Path], tmp_path: Path) -> None:
    folder = make_llm_run_folder(tmp_path / "run", "mlx", bases["llama"], adapter={"dropout": 0.1})
    settings = load("llm_settings").read_settings(folder / "config.json")
    rows = load("llm_rows").read_token_rows(folder / "data" / "train.jsonl", 64)
    dropouts = load("train").prepare(folder, settings).dropouts
    assert len(dropouts) == 21
    order = list(range(32))

    def keys(first: int, count: int) -> list[list[int]]:
        batches = iter(load("batches").Micro(rows, order, settings, dropouts, first)())
        found: list[list[int]] = []
        for _ in range(count):
            next(batches)
            found += [item._key.tolist() for item in dropouts]
        return found

    seen = keys(0, 8)
    assert len({tuple(key) for key in seen}) == 8 * 21
    assert keys(2, 4) == seen[4 * 21 :]  # two micro-batches a step


def with_positions(base: Path, folder: Path, rope: dict[str, Any], **config: Any) -> Path:
    """A copy of the base with other rotary positions, written as transformers 5 does."""
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    changed = {**json.loads((base / "config.json").read_text()), **config}
    changed["rope_parameters"] = {"rope_theta": THETA, **rope}
    (folder / "config.json").write_text(json.dumps(changed))
    return folder


@pytest.mark.parametrize("kind", POSITIONS)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_positions_are_those_of_transformers(
    load: Load, bases: dict[str, Path], tmp_path: Path, architecture: str, kind: str
) -> None:
    import mlx.core as mx
    import torch
    from mlx_lm.utils import load_model
    from transformers import AutoModelForCausalLM

    folder = with_positions(bases[architecture], tmp_path / "base", POSITIONS[kind])
    loaded = load("weights").load(folder, "fp32", positions=96)
    tokens = np.random.default_rng(0).integers(4, 300, (1, 96))
    theirs = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(np.array(loaded.model(mx.array(tokens))), expected, atol=2e-5)

    rope, events = load("rope"), load("events")
    plain, _ = load_model(folder)  # as mlx_lm reads the file by itself
    with pytest.raises(events.CheckFailedError, match="turns by other angles") as fault:
        rope.check_rope(plain, loaded.config, 96)
    assert fault.value.code == "FTS653"
    assert np.abs(np.array(plain(mx.array(tokens))) - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("rope", "positions", "words"),
    [
        ({"rope_type": "longrope", "factor": 4.0, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
          "original_max_position_embeddings": 64}, 64, "longrope"),
        ({"rope_type": "dynamic", "factor": 4.0}, 513, "beyond max_position_embeddings"),
        ({"full_attention": {"rope_type": "default"}}, 64, "layers of this model differ"),
    ],
)  # fmt: skip
def test_positions_that_mlx_computes_otherwise_are_refused(
    load: Load, bases: dict[str, Path], tmp_path: Path, rope: dict[str, Any], positions: int, words: str
) -> None:
    folder = with_positions(bases["llama"], tmp_path / "base", rope)
    with pytest.raises(load("events").CheckFailedError, match=words) as fault:
        load("weights").load(folder, "fp32", positions=positions)
    assert fault.value.code == "FTS653"


def test_a_config_of_transformers_4_is_read_too(load: Load, bases: dict[str, Path], tmp_path: Path) -> None:
    folder = with_positions(bases["llama"], tmp_path / "base", {})
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"], config["tie_word_embeddings"]  # the default of which differs
    old = {key: value for key, value in LLAMA3.items() if key != "rope_type"}
    config |= {"rope_theta": THETA, "rope_scaling": {**old, "type": "llama3"}}
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load("weights").load(folder, "fp32", positions=64)
    assert "lm_head" in loaded.model
    assert load("rope").mlx_options(loaded.config)["rope_scaling"]["rope_type"] == "llama3"


def test_a_config_that_says_nothing_of_positions(
    load: Load, bases: dict[str, Path], tmp_path: Path, llama: Any
) -> None:
    rope, error = load("rope"), load("events").CheckFailedError
    silent = {key: value for key, value in llama.config.items() if key != "rope_parameters"}
    rope.check_rope(llama.model, silent, 64)  # both take the same default
    without = type(llama.model)(llama.model.args)
    for layer in without.layers:
        layer.self_attn.rope = lambda values, **_: values
    rope.check_rope(without, silent, 64)
    with pytest.raises(error, match="layer 0 cannot be checked"):
        rope.check_rope(without, llama.config, 64)
    without.layers[0].self_attn.rope = llama.model.layers[0].self_attn.rope
    rope.check_rope(without, {**llama.config, "no_rope_layers": [1, 0, 0]}, 64)
    with pytest.raises(error, match="layer 1 cannot be checked"):
        rope.check_rope(without, {**llama.config, "no_rope_layers": [1, 1, 0]}, 64)
    folder = with_positions(bases["llama"], tmp_path / "base", {}, text_config={})
    with pytest.raises(error, match="llama reads more than text"):
        load("weights").load(folder, "fp32", positions=64)


SMALL = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 64},
    "qwen3": {"head_dim": 32},
    "phi": {},  # half of each head turns
    "phi3": {},  # one matrix for queries, keys and values
    "gemma": {"head_dim": 16},
    "smollm3": {},  # every fourth layer does not turn
    "granite": {},
    "glm4": {"head_dim": 16},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_of_other_architectures(load: Load, tmp_path: Path, name: str) -> None:
    import mlx.core as mx
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(name, **{**SMALL, **ARCHITECTURES[name]})
    config.rope_parameters = {**config.rope_parameters, "rope_theta": THETA}
    torch.manual_seed(0)
    theirs = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in theirs.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.08)
    theirs.save_pretrained(str(tmp_path))
    tokens = np.random.default_rng(0).integers(4, 300, (1, 64))
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    loaded = load("weights").load(tmp_path, "fp32", positions=64)
    load("weights").check_layout(loaded)
    np.testing.assert_allclose(np.array(loaded.model(mx.array(tokens))), expected, rtol=1e-3, atol=1e-3)
    if name == "mistral":
        with pytest.raises(
            load("events").CheckFailedError, match="beyond this mistral's sliding window of 64"
        ):
            load("weights").load(tmp_path, "fp32", positions=65)


def test_models_that_mlx_lays_out_otherwise_are_refused(
    load: Load, bases: dict[str, Path], llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, error = load("weights"), load("events").CheckFailedError
    other = dataclasses.replace(llama, folder=make_tiny_llm(tmp_path / "other", width=32))
    with pytest.raises(error, match="could not be saved for transformers") as fault:
        weights.check_layout(other)
    assert fault.value.code == "FTS653"
    weights.check_layout(llama)
    unknown = with_positions(bases["llama"], tmp_path / "unknown", {}, model_type="unheard_of")
    with pytest.raises(error, match="mlx_lm cannot load this unheard_of"):
        weights.load(unknown, "fp32", positions=64)
    for fault in (SystemExit(1), AttributeError("no `get`"), KeyError("scale")):
        with monkeypatch.context() as patch:
            patch.setattr(weights, "load_model", Mock(side_effect=fault))
            with pytest.raises(error, match=f"mlx_lm cannot load this unheard_of: {type(fault).__name__}"):
                weights.load(unknown, "fp32", positions=64)
    narrow = make_tiny_llm(tmp_path / "narrow", width=16)
    with pytest.raises(error, match="whole groups of 64"):
        weights.quantize(weights.load(narrow, "fp32", positions=64), 4)
