"""What the card and the passport of an embedding model say that those of other kinds do not."""

from collections.abc import Iterator
from typing import Any

from ftspec.evaluate.card_front import front_matter
from ftspec.evaluate.words import markdown_table, markdown_text
from ftspec.plan.codec import plan_document
from ftspec.plan.embedding import EmbeddingPlan


def passport_part(plan: EmbeddingPlan) -> dict[str, Any]:
    """How the model is to be read, as JSON values."""
    document = plan_document(plan)
    return {
        "model": {
            key: document["model"][key]
            for key in ("max_seq_length", "prompts", "pooling", "similarity", "trust_remote_code")
        },
        "dimensions": list(plan.evaluation.dimensions),
    }


def front(plan: EmbeddingPlan) -> Iterator[str]:
    return front_matter(
        plan,
        library="sentence-transformers",
        pipeline="sentence-similarity",
        tags=("sentence-transformers", "sentence-similarity", "feature-extraction", "ftspec"),
        relation="finetune",
    )


def usage_lines(plan: EmbeddingPlan) -> Iterator[str]:
    prompts = plan.model.prompts
    query = f", prompt={prompts.query!r}" if prompts.query else ""
    document = f", prompt={prompts.document!r}" if prompts.document else ""
    normalise = ", normalize_embeddings=True" if plan.model.similarity == "cosine" else ""
    yield "## Use"
    yield ""
    yield "```python"
    yield "from sentence_transformers import SentenceTransformer"
    yield ""
    yield 'model = SentenceTransformer("path/to/this/folder")'
    yield f'queries = model.encode(["a query"]{query}{normalise})'
    yield f'documents = model.encode(["a document"]{document}{normalise})'
    yield "scores = queries @ documents.T"
    yield "```"
    yield ""
    yield f"Texts are cut after {plan.model.max_seq_length} tokens; similarity is {plan.model.similarity}."
    if len(plan.evaluation.dimensions) > 1:
        shorter = ", ".join(str(dimension) for dimension in plan.evaluation.dimensions[1:])
        yield f"Trained to be cut to {shorter} dimensions as well."
    yield ""


def data_lines(plan: EmbeddingPlan) -> Iterator[str]:
    facts = plan.data.facts
    yield "## Data"
    yield ""
    for source in facts.sources:
        yield f"- {markdown_text(source.label)} ({source.type}, {source.rows:,} rows, `{source.digest}`)"
    yield ""
    how = "given apart" if facts.split_by == "given" else f"held out by {facts.split_by}"
    yield (
        f"Trained on {facts.train_rows:,} rows; tested on {facts.test_queries:,} queries, which were {how}. "
        f"Training and test share {facts.leaked_queries} queries and {facts.leaked_positives} positives."
    )
    yield ""


def training_lines(plan: EmbeddingPlan) -> Iterator[str]:
    train, model = plan.train, plan.model
    objective = train.objective
    settings: list[tuple[str, object]] = [
        ("base model", model.base),
        ("base digest", model.facts.digest),
        ("objective", objective.type),
        ("temperature", objective.temperature),
        ("margin", objective.margin),
        ("explicit negatives", objective.num_negatives or None),
        ("Matryoshka dimensions", train.matryoshka and ", ".join(map(str, train.matryoshka.dimensions))),
        ("frozen layers", model.freeze.layers or None),
        ("frozen embeddings", model.freeze.embeddings or None),
        ("LoRA rank", model.lora and model.lora.r),
        ("trainable parameters", f"{model.trainable_parameters:,} of {model.facts.total_parameters:,}"),
        ("global batch size", train.global_batch_size),
        ("epochs", train.num_train_epochs),
        ("steps", train.total_steps),
        ("learning rate", f"{train.learning_rate:g}"),
        ("scheduler", f"{train.lr_scheduler_type}, warmup over {train.warmup_steps:,} steps"),
        ("weight decay", f"{train.weight_decay:g}"),
        ("optimizer", train.optim),
        ("precision", plan.execution.precision),
        ("seed", train.seed),
    ]
    yield "## Training"
    yield ""
    rows = [[name, markdown_text(str(value))] for name, value in settings if value is not None]
    yield from markdown_table(("setting", "value"), rows, right=2)
    yield ""
