"""What an LLM plan trains and how: the spec's wishes against what the base really is and how many rows there are."""

import math

from ftspec.diagnostics import codes
from ftspec.plan.llm import (
    AdapterPlan,
    LlmChecks,
    LlmExportPlan,
    LlmModelPlan,
    LlmTrainPlan,
)
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import LlmDesk
from ftspec.resolve.model import ALL_LINEAR
from ftspec.resolve.schedule import (
    plain_save_steps,
    planned_eval_steps,
    resolve_cycles,
    resolve_logging_steps,
    resolve_warmup,
)
from ftspec.spec.llm import quantization_bits

MAX_SEQ_LENGTH = 2048  # where the spec names none: positions of today's models go far beyond what fits


def sequence_length(wish: int | None, max_positions: int) -> int:
    """Tokens of a row: as asked for, else the positions of the base, at most MAX_SEQ_LENGTH."""
    return min(max_positions, MAX_SEQ_LENGTH) if wish is None else wish


def resolve_llm_model(desk: LlmDesk, adapter: AdapterPlan) -> LlmModelPlan:
    """The model section. Faults go to the desk; the values stay usable so that all can be found."""
    wish, facts = desk.spec.model, desk.model
    if facts.needs_remote_code and not wish.trust_remote_code:
        desk.fault(
            codes.REMOTE_CODE,
            f"{facts.id} brings Python code of its own, which would run on this machine",
            "model",
            "base",
            help="read that code, then write `model.trust_remote_code: true`; or choose another base model",
        )
    length = sequence_length(wish.max_seq_length, facts.max_positions)
    if wish.max_seq_length is None:
        desk.decide(
            "model.max_seq_length",
            length,
            Reason.POSITIONS_UP_TO_LIMIT,
            by="resolve_llm_model",
            facts={"max_positions": facts.max_positions, "at_most": MAX_SEQ_LENGTH},
            at=("model", "max_seq_length"),
        )
    elif length > facts.max_positions:
        desk.fault(
            codes.SEQUENCE_TOO_LONG,
            f"{length} tokens asked for; {facts.id} has {facts.max_positions} positions",
            "model",
            "max_seq_length",
            help=f"use at most {facts.max_positions}, or a base model with more positions",
        )
    bits = quantization_bits(desk.spec)
    if bits is not None and wish.quantization is None:
        desk.decide(
            "model.quantization_bits",
            bits,
            Reason.BITS_OF_QLORA,
            by="resolve_llm_model",
            facts={"adapter": adapter.type},
            at=("adapter", "type"),
        )
    return LlmModelPlan(
        base=wish.base,
        revision=wish.revision,
        max_seq_length=length,
        trust_remote_code=wish.trust_remote_code,
        trainable_parameters=_count_trainable(desk, adapter),
        facts=facts,
        quantization_bits=bits,
    )


def resolve_adapter(desk: LlmDesk) -> AdapterPlan:
    """The adapter section, against the linear layers that the base really has."""
    wish, facts = desk.spec.adapter, desk.model
    if wish.type == "full":
        return AdapterPlan(type="full")
    if wish.layers is not None and wish.layers > facts.num_layers:
        desk.fault(
            codes.MORE_LAYERS_THAN_MODEL,
            f"adapters on the last {wish.layers} layers; {facts.id} has {facts.num_layers}",
            "adapter",
            "layers",
            help=f"use at most {facts.num_layers}, or leave it away: all of them",
        )
    if wish.target_modules == ALL_LINEAR:
        modules = facts.linear_modules
        desk.decide(
            "adapter.target_modules",
            modules,
            Reason.TAKEN_FROM_MODEL,
            by="resolve_adapter",
            facts={"model": facts.id, "asked": ALL_LINEAR},
            before=ALL_LINEAR,
            at=("adapter", "target_modules"),
        )
    else:
        modules = tuple(dict.fromkeys(wish.target_modules))
        for index, name in enumerate(wish.target_modules):
            if name not in facts.linear_modules:
                desk.fault(
                    codes.UNKNOWN_MODULE,
                    f"{name!r} is no linear layer of {facts.id}",
                    "adapter",
                    "target_modules",
                    index,
                    help=f"its linear layers are: {', '.join(facts.linear_modules)}",
                )
    return AdapterPlan(
        type=wish.type,
        r=wish.r,
        alpha=wish.alpha,
        dropout=wish.dropout,
        target_modules=modules,
        layers=wish.layers,
    )


def adapter_parameters(desk: LlmDesk, adapter: AdapterPlan) -> int:
    """r · (inputs + outputs) of each layer; DoRA has a magnitude for each output besides. Layers are alike,
    so that the last n of L hold n / L of them."""
    facts = desk.model
    assert adapter.r is not None
    whole = adapter.r * sum(facts.linear_widths.get(name, 0) for name in adapter.target_modules)
    if adapter.type == "dora":
        whole += sum(facts.linear_outputs.get(name, 0) for name in adapter.target_modules)
    return (
        whole if adapter.layers is None else whole * min(adapter.layers, facts.num_layers) // facts.num_layers
    )


def _count_trainable(desk: LlmDesk, adapter: AdapterPlan) -> int:
    """Parameters with a gradient; the trainer counts again and fails the run on another number."""
    facts = desk.model
    full = adapter.type == "full"
    trainable = facts.total_parameters if full else adapter_parameters(desk, adapter)
    desk.decide(
        "model.trainable_parameters",
        trainable,
        Reason.COUNTED_PARAMETERS,
        by="resolve_llm_model",
        facts={
            "total_parameters": facts.total_parameters,
            "frozen_parameters": 0 if full else facts.total_parameters,
        },
        at=("adapter",),
    )
    return trainable


def resolve_llm_train(desk: LlmDesk) -> LlmTrainPlan:
    """The train section. Faults go to the desk; the values stay usable so that all can be found."""
    wish = desk.spec.train
    rows = desk.data.sequences
    if wish.global_batch_size > rows:
        what = "packed sequences" if wish.packing else "training rows"
        desk.fault(
            codes.BATCH_TOO_LARGE,
            f"a batch of {wish.global_batch_size} from {rows} {what}",
            "train",
            "global_batch_size",
            help=f"use at most {rows}, or more data",
        )
    total_steps = _resolve_steps(desk, rows)
    watched = desk.data.validation_rows > 0
    return LlmTrainPlan(
        train_on=wish.train_on,
        packing=wish.packing,
        too_long=wish.too_long,
        global_batch_size=wish.global_batch_size,
        num_train_epochs=None if wish.max_steps is not None else wish.num_train_epochs or 1.0,
        total_steps=total_steps,
        learning_rate=wish.learning_rate,
        lr_scheduler_type=wish.lr_scheduler_type,
        lr_num_cycles=resolve_cycles(desk),
        warmup_steps=resolve_warmup(desk, total_steps),
        weight_decay=wish.weight_decay,
        max_grad_norm=wish.max_grad_norm,
        optim=wish.optim,
        seed=wish.seed,
        eval_steps=planned_eval_steps(desk, total_steps) if watched else None,
        save_steps=plain_save_steps(desk, total_steps),
        logging_steps=resolve_logging_steps(desk, total_steps),
        checks=LlmChecks(**wish.checks.model_dump()),
    )


def _resolve_steps(desk: LlmDesk, rows: int) -> int:
    """Batches run on over the ends of epochs, so that no row is left out: ⌈epochs · rows / batch⌉."""
    wish = desk.spec.train
    if wish.max_steps is not None:
        return wish.max_steps
    epochs = wish.num_train_epochs or 1.0
    total = max(1, math.ceil(epochs * rows / wish.global_batch_size - 1e-9))
    desk.decide(
        "train.total_steps",
        total,
        Reason.STEPS_FROM_ROWS,
        by="resolve_llm_train",
        facts={
            "train_rows": rows,
            "global_batch_size": wish.global_batch_size,
            "num_train_epochs": epochs,
        },
        at=("train", "num_train_epochs"),
    )
    return total


def resolve_llm_export(desk: LlmDesk) -> LlmExportPlan:
    """`merge` means nothing where all weights are trained: then the model is whole anyway."""
    wish = desk.spec.export
    return LlmExportPlan(dtype=wish.dtype, merge=wish.merge, path=wish.path)
