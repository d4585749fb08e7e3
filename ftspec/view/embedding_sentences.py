"""The sections of an embedding plan as short sentences."""

from collections.abc import Iterator

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.objectives import traits_of
from ftspec.view.amounts import base_text, count_text, millions_text, number_text

_SPLITS = {
    "given": "given by the spec",
    "group": "by group",
    "positive": "by query and positive",
    "random": "at random",
}


def model_sentence(plan: EmbeddingPlan) -> str:
    model, facts = plan.model, plan.model.facts
    parts = [
        base_text(plan),
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


def data_sentences(plan: EmbeddingPlan) -> Iterator[tuple[str, str]]:
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


def objective_sentence(plan: EmbeddingPlan) -> str:
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
