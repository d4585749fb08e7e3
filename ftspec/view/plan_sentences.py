"""The sections of a plan as short sentences, shared by the formats that people read."""

from collections.abc import Iterator

from ftspec.plan.model import Gate, Plan
from ftspec.plan.objectives import traits_of
from ftspec.view.amounts import count_text, millions_text, number_text

_SPLITS = {
    "given": "given by the spec",
    "group": "by group",
    "positive": "by query and positive",
    "random": "at random",
}


def model_sentence(plan: Plan) -> str:
    model, facts = plan.model, plan.model.facts
    parts = [
        model.base + (f"@{model.revision}" if model.revision else ""),
        f"{facts.num_layers} layers, width {facts.embedding_dimension}",
        f"{model.max_seq_length} tokens",
        f"{model.pooling} pooling",
    ]
    trained = f"{millions_text(model.trainable_parameters)} of {millions_text(facts.total_parameters)}"
    if model.lora is not None:
        modules = ", ".join(model.lora.target_modules)
        parts.append(
            f"LoRA r={model.lora.r} on {modules} ({millions_text(model.trainable_parameters)} trained)"
        )
    elif model.freeze.layers or model.freeze.embeddings:
        frozen = ["embeddings"] if model.freeze.embeddings else []
        frozen += [count_text(model.freeze.layers, "layer")] if model.freeze.layers else []
        parts.append(f"{' and '.join(frozen)} frozen ({trained} parameters trained)")
    else:
        parts.append(f"all {millions_text(model.trainable_parameters)} parameters trained")
    return ", ".join(parts)


def data_sentences(plan: Plan) -> Iterator[tuple[str, str]]:
    data, facts = plan.data, plan.data.facts
    sources = ", ".join(f"{source.path} ({source.type})" for source in data.train)
    rows = count_text(facts.train_rows, "training row")
    if facts.train_rows_available > facts.train_rows:
        rows += f" of {facts.train_rows_available:,}"
    yield "data", f"{sources}: {rows}, columns {', '.join(plan.train.roles)}"
    held_out = (
        f"{count_text(facts.test_queries, 'query')} over {count_text(facts.test_documents, 'document')}"
    )
    if facts.validation_queries:
        held_out += f", {count_text(facts.validation_queries, 'query')} for validation"
    if facts.exclude_self:
        held_out += "; queries are documents too, and none is answered by itself"
    yield "held out", held_out
    split = _SPLITS.get(facts.split_by, facts.split_by)
    if facts.split_by == "group":
        split += f", {facts.train_groups:,} for training, {facts.test_groups:,} held out"
    shared = facts.leaked_queries + facts.leaked_positives
    split += "; train and test share nothing" if not shared else f"; {shared:,} texts are on both sides"
    if facts.overlap_dropped:
        split += f" ({count_text(facts.overlap_dropped, 'training row')} dropped for that)"
    yield "split", split


def objective_sentence(plan: Plan) -> str:
    train, objective = plan.train, plan.train.objective
    options = [
        f"{name} {number_text(value)}"
        for name, value in (("temperature", objective.temperature), ("margin", objective.margin))
        if value is not None
    ]
    options += [value for value in (objective.loss, objective.distance) if value is not None]
    options += ["symmetric"] if objective.symmetric else []
    options += [count_text(objective.num_negatives, "negative")] if objective.num_negatives else []
    text = objective.type + (f" ({', '.join(options)})" if options else "")
    if train.matryoshka is not None:
        text += f", Matryoshka {'/'.join(str(size) for size in train.matryoshka.dimensions)}"
    if traits_of(objective.type).in_batch and objective.type == "contrastive":
        negatives = (train.global_batch_size - 1) + train.global_batch_size * (objective.num_negatives or 0)
        text += f", {negatives:,} negatives per query"
    return text


def schedule_sentence(plan: Plan) -> str:
    train = plan.train
    length = count_text(train.total_steps, "step")
    if train.num_train_epochs is not None:
        epochs = number_text(train.num_train_epochs)
        length += f" ({epochs} epoch{'' if train.num_train_epochs == 1 else 's'})"
    return (
        f"{length} of batch {train.global_batch_size}, {train.optim}, learning rate "
        f"{number_text(train.learning_rate)} {train.lr_scheduler_type.replace('_', ' ')} after "
        f"{count_text(train.warmup_steps, 'warmup step')}, seed {train.seed}"
    )


def evidence_sentences(plan: Plan) -> Iterator[tuple[str, str]]:
    evaluation = plan.evaluation
    baseline = "the untuned base" if evaluation.baseline == "base" else evaluation.baseline
    yield (
        "metrics",
        f"{', '.join(evaluation.metrics)} against {baseline}; the verdict speaks of {evaluation.primary}",
    )
    if len(evaluation.dimensions) > 1:
        yield "dimensions", ", ".join(str(size) for size in evaluation.dimensions)
    if evaluation.slices:
        yield "slices", ", ".join(evaluation.slices)
    for index, (metric, gate) in enumerate(plan.gates.items()):
        yield "gates" if index == 0 else "", f"{metric}: {gate_sentence(gate)}"
    queries = count_text(plan.data.facts.test_queries, "query")
    yield "can tell", f"a gain of {evaluation.detectable_gain:.3f} or more, with {queries}"


def gate_sentence(gate: Gate) -> str:
    """`gain above 0 at 95 % confidence`, `at least 0.7`."""
    parts = []
    if gate.min is not None:
        parts.append(f"at least {number_text(gate.min)}")
    if gate.max is not None:
        parts.append(f"at most {number_text(gate.max)}")
    if gate.min_gain is not None:
        parts.append(f"gain above {number_text(gate.min_gain)}")
    if gate.p50_max is not None:
        parts.append(f"median at most {number_text(gate.p50_max)}")
    if gate.p95_max is not None:
        parts.append(f"95th percentile at most {number_text(gate.p95_max)}")
    text = ", ".join(parts)
    return text if gate.confidence is None else f"{text} at {gate.confidence * 100:g} % confidence"
