"""The plan's words as options of trl and peft: every option, the schedules, the scale of an adapter."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.llm_common import backend_programs, llm_config, merged
from tests.tiny_llm import make_tiny_llm

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with backend_programs("trl") as importer:
        yield importer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny", layers=3)


@pytest.fixture
def settings(load: Load, base: Path, tmp_path: Path) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(merged(llm_config(base), changes)))
        return load("llm_settings").read_settings(path)

    return make


def arguments(load: Load, settings: Any, folder: Path) -> Any:
    from trl import SFTConfig

    return SFTConfig(**load("native").trainer_options(settings, folder))


def test_every_planned_value_arrives(load: Load, settings: Callable[..., Any], tmp_path: Path) -> None:
    planned = settings(
        train={
            "total_steps": 17,
            "learning_rate": 3e-4,
            "weight_decay": 0.1,
            "max_grad_norm": 0.5,
            "seed": 11,
            "warmup_steps": 3,
            "optim": "adafactor",
            "global_batch_size": 12,
        },
        machine={"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4},
    )
    args = arguments(load, planned, tmp_path)
    assert args.max_steps == 17
    assert args.learning_rate == 3e-4
    assert args.weight_decay == 0.1
    assert args.max_grad_norm == 0.5
    assert args.seed == args.data_seed == 11
    assert args.warmup_steps == 3
    assert args.optim == "adafactor"
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (3, 4)
    assert (args.adam_beta1, args.adam_beta2, args.adam_epsilon) == (0.9, 0.999, 1e-8)


def test_defaults_of_trl_that_a_run_must_not_take(
    load: Load, settings: Callable[..., Any], tmp_path: Path
) -> None:
    args = arguments(load, settings(), tmp_path)
    assert args.max_length is None
    assert args.gradient_checkpointing is False
    assert args.bf16 is False
    assert args.fp16 is False
    assert args.use_cpu is True
    assert args.packing is False
    assert args.logging_nan_inf_filter is False
    assert args.report_to in ([], ["none"], "none")
    checkpointed = settings(machine={"gradient_checkpointing": True, "precision": "bf16"})
    args = arguments(load, checkpointed, tmp_path)
    assert args.gradient_checkpointing is True
    assert args.gradient_checkpointing_kwargs == {"use_reentrant": False}
    assert args.bf16 is True


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("linear", None),
        ("cosine", None),
        ("cosine_with_restarts", 3),
        ("polynomial", None),
        ("constant", None),
        ("constant_with_warmup", None),
    ],
)
def test_the_schedule_point_by_point(
    load: Load, settings: Callable[..., Any], tmp_path: Path, name: str, cycles: int | None, warmup: int
) -> None:
    """What the trainer makes of its options, against transformers.get_scheduler."""
    import torch
    from transformers import Trainer, get_scheduler

    steps = 20
    planned = settings(
        train={
            "total_steps": steps,
            "lr_scheduler_type": name,
            "lr_num_cycles": cycles,
            "warmup_steps": warmup,
            "learning_rate": 0.5,
        }
    )

    def optimizer() -> torch.optim.Optimizer:
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)

    one, two = optimizer(), optimizer()
    trainer = Trainer(model=torch.nn.Linear(1, 1), args=arguments(load, planned, tmp_path))
    found = trainer.create_scheduler(steps, one)
    specific = {"num_cycles": cycles} if cycles is not None else {}
    expected = get_scheduler(name, two, warmup, steps, scheduler_specific_kwargs=specific)
    for _ in range(steps):
        assert found.get_last_lr() == expected.get_last_lr()
        one.step()
        two.step()
        found.step()
        expected.step()


def test_adapters_are_as_planned(load: Load, settings: Callable[..., Any], base: Path) -> None:
    """Scale alpha / r, the last n layers, the planned modules, dropout, DoRA."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    changes = {"r": 4, "alpha": 6, "dropout": 0.25, "layers": 2, "target_modules": ["q_proj", "down_proj"]}
    for kind in ("lora", "dora"):
        adapter = settings(adapter={**changes, "type": kind}).adapter
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(str(base)),
            LoraConfig(**load("native").lora_options(adapter, num_layers=3)),
        )
        places = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
        assert sorted(places) == [
            f"base_model.model.model.layers.{layer}.{name}"
            for layer in (1, 2)
            for name in ("mlp.down_proj", "self_attn.q_proj")
        ]
        for module in places.values():
            assert module.scaling == {"default": 1.5}
            assert module.lora_A["default"].weight.shape[0] == 4
            assert module.lora_dropout["default"].p == 0.25
            assert module.use_dora == {"default": kind == "dora"}


def test_quantisation(load: Load) -> None:
    native = load("native")
    assert native.quantization_options(8, "bf16") == {"load_in_8bit": True}
    four = native.quantization_options(4, "bf16")
    assert four["load_in_4bit"] is True
    assert four["bnb_4bit_quant_type"] == "nf4"
    assert four["bnb_4bit_compute_dtype"] == "bf16"
