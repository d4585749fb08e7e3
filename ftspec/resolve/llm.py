"""The sections of an LLM plan: the spec's wishes against what base and data really are."""

import math
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.plan.llm import (
    AdapterPlan,
    LlmChecks,
    LlmEvaluationPlan,
    LlmExportPlan,
    LlmModelPlan,
    LlmTrainPlan,
)
from ftspec.plan.llm_data import LlmDataPlan, LlmFilters, LlmLimit
from ftspec.plan.metrics import metric_traits
from ftspec.plan.model import Bootstrap, Split
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import LlmDesk
from ftspec.resolve.evaluation import confidence_of, detectable_gain
from ftspec.resolve.llm_sources import source_plan
from ftspec.resolve.model import ALL_LINEAR
from ftspec.resolve.schedule import (
    plain_save_steps,
    planned_eval_steps,
    resolve_cycles,
    resolve_logging_steps,
    resolve_warmup,
)
from ftspec.spec.llm import generate_rows, quantization_bits

MAX_SEQ_LENGTH = 2048  # where the spec names none: positions of today's models go far beyond what fits
FEW_ROWS = 100
LOST_SHARE = 0.1  # of the training rows, by length
TEXT_DEVIATION = 0.5  # of a gain per row between 0 and 1, where a quarter of the rows turn from 0 to 1


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


def resolve_llm_data(desk: LlmDesk, folder: Path) -> LlmDataPlan:
    """The data section; `split.by: auto` becomes what the rows allow."""
    data, facts = desk.spec.data, desk.data
    _check_leakage(desk)
    for index, name in enumerate(desk.spec.evaluation.slices):
        if name not in facts.slices:
            desk.fault(
                codes.MISSING_COLUMN,
                f"results cannot be sliced by {name!r}; columns that the held-out rows carry: "
                f"{', '.join(facts.slices) or 'none'}",
                "evaluation",
                "slices",
                index,
                help="name the column as `roles.group` of the source, or remove the slice",
            )
    _note_quality(desk)
    split = Split(**data.split.model_dump())
    if split.by == "auto" and facts.split_by != "given":
        desk.decide(
            "data.split.by",
            facts.split_by,
            _SPLIT_REASONS[facts.split_by],
            by="resolve_llm_data",
            before="auto",
            facts={"train_groups": facts.train_groups, "test_groups": facts.test_groups},
            at=("data", "split", "by"),
        )
        split = Split(**{**data.split.model_dump(), "by": facts.split_by})
    return LlmDataPlan(
        folder=str(folder),
        train=tuple(source_plan(source) for source in data.train),
        evaluation=tuple(source_plan(source) for source in data.evaluation),
        filters=LlmFilters(**data.filters.model_dump()),
        limit=LlmLimit(**data.limit.model_dump()),
        split=split,
        on_error=data.on_error,
        facts=facts,
    )


_SPLIT_REASONS = {
    "group": Reason.SPLIT_BY_GROUP,
    "document": Reason.SPLIT_BY_DOCUMENT,
    "random": Reason.SPLIT_AT_RANDOM,
}


def _check_leakage(desk: LlmDesk) -> None:
    facts = desk.data
    if desk.spec.data.split.leakage != "fail" or not (facts.leaked_prompts or facts.leaked_documents):
        return
    examples = "; ".join(repr(example) for example in facts.leak_examples)
    desk.fault(
        codes.LEAKAGE,
        f"train and test share {facts.leaked_prompts:,} prompts and {facts.leaked_documents:,} oracles"
        + (f", such as {examples}" if examples else ""),
        "data",
        "evaluation",
        help="drop these rows from the training data with `data.split.leakage: drop_train`, or leave "
        "`data.evaluation` away so that the split holds out rows that share nothing with the rest",
    )


def _note_quality(desk: LlmDesk) -> None:
    facts = desk.data
    for source in facts.sources:
        if source.skipped:
            examples = "; ".join(source.skip_examples)
            desk.note(
                codes.ROWS_SKIPPED,
                f"{source.label}: {source.skipped} of {source.rows + source.skipped} rows"
                + (f" ({examples})" if examples else ""),
            )
    if facts.test_rows < FEW_ROWS:
        desk.note(
            codes.FEW_QUERIES, f"with {facts.test_rows} of them only large gains can be told from noise"
        )
    rows = facts.train_rows + facts.validation_rows + facts.test_rows
    if facts.truncated > LOST_SHARE * rows:  # those that are left out are told by FTS714
        desk.note(
            codes.TRUNCATED_TEXTS,
            f"{facts.truncated:,} of {rows:,} rows are cut at {desk.spec.model.max_seq_length or MAX_SEQ_LENGTH} tokens",
        )


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


def resolve_llm_evaluation(desk: LlmDesk) -> LlmEvaluationPlan:
    wish = desk.spec.evaluation
    primary = wish.metrics[0]
    desk.decide(
        "evaluation.primary",
        primary,
        Reason.FIRST_METRIC,
        by="resolve_llm_evaluation",
        facts={"metrics": tuple(wish.metrics)},
        at=("evaluation", "metrics"),
    )
    rows = generate_rows(desk.spec)
    if wish.generate_rows is None:
        desk.decide(
            "evaluation.generate_rows",
            rows,
            Reason.ANSWERS_FOR_METRICS,
            by="resolve_llm_evaluation",
            facts={"metrics": tuple(wish.metrics)},
            at=("evaluation", "metrics"),
        )
    _check_positions(desk, rows)
    _check_defined(desk, rows)
    return LlmEvaluationPlan(
        metrics=tuple(wish.metrics),
        primary=primary,
        slices=tuple(wish.slices),
        baseline="base",
        baseline_facts=None,
        bootstrap=Bootstrap(**wish.bootstrap.model_dump()),
        detectable_gain=_detectable_gain(desk, primary, rows),
        generate_rows=rows,
        max_new_tokens=wish.max_new_tokens,
    )


def _check_defined(desk: LlmDesk, generated: int) -> None:
    """What decides the verdict must be defined on some held-out row. Rows that are scored but not written to
    are known only after the split: then `apply` says the same before it trains."""
    facts = desk.data
    refusals = facts.raft.refusals if facts.raft is not None else 0
    for name in dict.fromkeys((desk.spec.evaluation.metrics[0], *desk.spec.gates)):
        traits = metric_traits(name)
        if traits is None or not traits.needs_generation or generated == 0:
            continue
        lacking = ""
        if traits.needs_answers and not facts.test_with_answers:
            lacking = "has `answers` to compare with"
        elif traits.needs_raft and not facts.test_raft:
            lacking = "was made from documents (`type: raft`)"
        elif name == "refused" and not refusals:
            lacking = "asks for a refusal (`when_absent: refuse`)"
        if lacking:
            desk.fault(
                codes.METRIC_WITHOUT_ROWS,
                f"`{name}`: none of the {facts.test_rows:,} held-out rows {lacking}",
                *(("gates", name) if name in desk.spec.gates else ("evaluation", "metrics")),
                help="change the data, or leave the metric and its gate away",
            )


def _check_positions(desk: LlmDesk, generated: int) -> None:
    """The longest prompt and its answer must have positions, or generation fails after hours of training."""
    wish, facts = desk.spec.evaluation, desk.data
    if generated == 0 or facts.longest_prompt + wish.max_new_tokens <= desk.model.max_positions:
        return
    room = desk.model.max_positions - facts.longest_prompt
    desk.fault(
        codes.SEQUENCE_TOO_LONG,
        f"the longest held-out prompt has {facts.longest_prompt} tokens, its answer may have {wish.max_new_tokens}; "
        f"{desk.model.id} has {desk.model.max_positions} positions",
        "evaluation",
        "max_new_tokens",
        help=f"use at most {room}, or a smaller `model.max_seq_length`"
        if room > 0
        else "use a smaller `model.max_seq_length`, so that longer rows are dropped",
    )


def _detectable_gain(desk: LlmDesk, primary: str, generated: int) -> float | None:
    """None for losses: how much they spread is not known before they are measured."""
    traits = metric_traits(primary)
    assert traits is not None, primary
    if traits.most is None:
        return None
    defined = desk.data.test_raft if traits.needs_raft else desk.data.test_with_answers
    rows = min(defined, generated)
    confidence = confidence_of(desk, primary)
    gain = round(detectable_gain(rows, confidence, TEXT_DEVIATION), 6)
    desk.decide(
        "evaluation.detectable_gain",
        gain,
        Reason.POWER_OF_TEST,
        by="resolve_llm_evaluation",
        facts={"test_rows": rows, "deviation": TEXT_DEVIATION, "confidence": confidence},
    )
    return gain


def resolve_llm_export(desk: LlmDesk) -> LlmExportPlan:
    """`merge` means nothing where all weights are trained: then the model is whole anyway."""
    wish = desk.spec.export
    return LlmExportPlan(dtype=wish.dtype, merge=wish.merge, path=wish.path)
