"""The plan's words as options of mlx and mlx_lm: schedules, optimizers, adapters.

What transformers and torch do is the definition; formulas and defaults are theirs, and tests compare them.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from events import CheckFailedError
from llm_settings import Adapter, Settings, Train
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from mlx_lm.tuner.trainer import TrainingArgs

BETAS, EPSILON = (0.9, 0.999), 1e-8
POLYNOMIAL_END, POLYNOMIAL_POWER = 1e-7, 1.0
GROUP_SIZE = 64  # weights that share a scale in a quantised base
NEVER = 2**62
# The names whose parameters transformers' Trainer does not decay.
UNDECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")


def learning_rates(train: Train) -> list[float]:
    """The rate of every step, as transformers.get_scheduler has it.

    A table, because formulas in float32 miss the jumps of restarts by a step.
    """
    factor = _schedule(train)
    return [train.learning_rate * factor(step) for step in range(train.total_steps)]


def _schedule(train: Train) -> Callable[[int], float]:
    """Step → factor of the peak rate."""
    name, warmup, total = train.lr_scheduler_type, train.warmup_steps, train.total_steps
    span = max(1, total - warmup)
    decays: dict[str, Callable[[int], float]] = {
        "linear": lambda step: max(0.0, (total - step) / span),
        "cosine": lambda step: max(0.0, 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / span))),
        "cosine_with_restarts": lambda step: _restarts((step - warmup) / span, train.lr_num_cycles or 1),
        "polynomial": lambda step: _polynomial(1 - (step - warmup) / span, train.learning_rate),
        "constant": lambda step: 1.0,
        "constant_with_warmup": lambda step: 1.0,
    }
    decay = decays[name]
    if name == "constant":
        return decay
    return lambda step: step / max(1, warmup) if step < warmup else decay(step)


def _restarts(progress: float, cycles: int) -> float:
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((cycles * progress) % 1.0))))


def _polynomial(remaining: float, peak: float) -> float:
    return float((peak - POLYNOMIAL_END) * remaining**POLYNOMIAL_POWER + POLYNOMIAL_END) / peak


class ClippedOptimizer(optim.MultiOptimizer):  # type: ignore[misc]
    """Clips the gradients to `max_norm` (0: never) as torch does, then updates each group.

    The norm before clipping is `grad_norm`; it is part of the state, which a compiled step hands on.
    """

    def __init__(
        self, optimizers: list[Any], filters: list[Callable[[str, Any], bool]], max_norm: float
    ) -> None:
        super().__init__(optimizers, filters)
        self.max_norm = max_norm
        optimizers[0].state["grad_norm"] = mx.array(0.0)

    def apply_gradients(self, gradients: Any, parameters: Any) -> Any:
        # a norm that is summed in bf16 is off by 1 %
        gradients = tree_map(lambda value: value.astype(mx.float32), gradients)
        clipped, norm = optim.clip_grad_norm(gradients, self.max_norm or math.inf)
        self.optimizers[0].state["grad_norm"] = norm
        return super().apply_gradients(clipped if self.max_norm else gradients, parameters)

    def masters(self) -> dict[str, Any]:
        """The fp32 weights that Master optimizers keep, by name; empty for others."""
        flat = [item for part in self.optimizers for item in tree_flatten(part.state)]
        return {name.removesuffix(".master"): value for name, value in flat if name.endswith(".master")}

    @property
    def grad_norm(self) -> float:
        return float(self.optimizers[0].state["grad_norm"].item())


class Master:
    """Before an optimizer class: it keeps weights of its own in fp32, of which the model's are rounded.

    Call `init` while the model still has its full precision.
    """

    def init_single(self, parameter: Any, state: Any) -> None:
        state["master"] = parameter.astype(mx.float32)
        super().init_single(state["master"], state)  # type: ignore[misc]

    def apply_single(self, gradient: Any, parameter: Any, state: Any) -> Any:
        state["master"] = super().apply_single(gradient, state["master"], state)  # type: ignore[misc]
        return state["master"].astype(parameter.dtype)


class MasterAdamW(Master, optim.AdamW):  # type: ignore[misc]
    pass


class MasterAdafactor(Master, optim.Adafactor):  # type: ignore[misc]
    pass


class MasterSGD(Master, optim.SGD):  # type: ignore[misc]
    pass


def build_optimizer(train: Train, *, master: bool) -> ClippedOptimizer:
    """Two groups: weights that decay, and those that do not. `master`: see Master."""
    table = mx.array(learning_rates(train), dtype=mx.float32)

    def rate(step: Any) -> Any:
        return table[mx.minimum(step, train.total_steps - 1)]

    def group(weight_decay: float) -> Any:
        if train.optim == "adamw":
            options = {"betas": list(BETAS), "eps": EPSILON, "bias_correction": True}
            kind = MasterAdamW if master else optim.AdamW
            return kind(rate, weight_decay=weight_decay, **options)
        if train.optim == "adafactor":  # as transformers' Trainer builds it
            factors = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
            adafactor = MasterAdafactor if master else optim.Adafactor
            return adafactor(rate, weight_decay=weight_decay, **factors)
        sgd = MasterSGD if master else optim.SGD
        return sgd(rate, momentum=0.0, weight_decay=weight_decay)

    return ClippedOptimizer(
        [group(train.weight_decay), group(0.0)], [lambda name, _: decays(name)], train.max_grad_norm
    )


def decays(name: str) -> bool:
    """Whether weight decay works on the parameter of this name."""
    return UNDECAYED.search(name.lower()) is None


def training_args(settings: Settings, steps: int, adapter_file: Path) -> TrainingArgs:
    """Options of mlx_lm's trainer for `steps` more optimizer steps: each is reported, none is saved by it."""
    machine = settings.machine
    accumulated = machine.gradient_accumulation_steps
    return TrainingArgs(
        batch_size=machine.per_device_train_batch_size,
        iters=steps * accumulated,
        steps_per_report=accumulated,
        steps_per_eval=NEVER,
        steps_per_save=NEVER,
        max_seq_length=settings.model.max_seq_length,
        adapter_file=str(adapter_file),
        grad_checkpoint=machine.gradient_checkpointing,
        grad_accumulation_steps=accumulated,
    )


def adapter_config(adapter: Adapter, model: Any) -> dict[str, Any]:
    """What mlx_lm's adapter_config.json says, and `linear_to_lora_layers` reads.

    Raises CheckFailedError FTS652 when the model has no such layers or modules.
    """
    depth = len(model.layers)
    if adapter.layers is not None and not 0 < adapter.layers <= depth:
        raise CheckFailedError("FTS652", f"adapters on the last {adapter.layers} of {depth} layers")
    return {
        "fine_tune_type": "dora" if adapter.type == "dora" else "lora",
        "num_layers": -1 if adapter.layers is None else adapter.layers,
        "lora_parameters": {
            "rank": adapter.r,
            "scale": adapter.alpha / adapter.r,
            "dropout": adapter.dropout,
            "keys": adapter_keys(adapter, model),
        },
    }


def adapter_keys(adapter: Adapter, model: Any) -> list[str]:
    """The linear modules that `target_modules` name, relative to a layer, e.g. self_attn.q_proj.

    A name stands for every module whose path ends with it, as in peft; it may lie outside of the layers
    (lm_head) where adapters go to all of them.
    """
    chosen = model.layers[-adapter.layers :] if adapter.layers else model.layers
    inside = [name for layer in chosen for name in _linears(layer)]
    outside = [] if adapter.layers else [name for name in _linears(model) if ".layers." not in f".{name}"]
    keys = set()
    for target in adapter.target_modules:
        found = {name for name in (*inside, *outside) if f".{name}".endswith(f".{target}")}
        if not found:
            there = ", ".join(sorted({name.rpartition(".")[2] for name in inside}))
            raise CheckFailedError("FTS652", f"no linear module is called {target}; there are {there}")
        keys |= found
    return sorted(keys)


def _linears(module: Any) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.QuantizedLinear)]
