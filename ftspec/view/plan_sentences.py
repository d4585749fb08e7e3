"""The sections of a plan as short sentences, shared by the formats that people read."""

from collections.abc import Iterator

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Gate, Plan
from ftspec.view import embedding_sentences, llm_sentences
from ftspec.view.amounts import count_text, number_text


def model_sentence(plan: Plan) -> str:
    if isinstance(plan, LlmPlan):
        return llm_sentences.model_sentence(plan)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return embedding_sentences.model_sentence(plan)


def data_sentences(plan: Plan) -> Iterator[tuple[str, str]]:
    if isinstance(plan, LlmPlan):
        return llm_sentences.data_sentences(plan)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return embedding_sentences.data_sentences(plan)


def objective_sentence(plan: Plan) -> str:
    if isinstance(plan, LlmPlan):
        return llm_sentences.objective_sentence(plan)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return embedding_sentences.objective_sentence(plan)


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
    if isinstance(plan, EmbeddingPlan) and len(plan.evaluation.dimensions) > 1:
        yield "dimensions", ", ".join(str(size) for size in plan.evaluation.dimensions)
    if evaluation.slices:
        yield "slices", ", ".join(evaluation.slices)
    for index, (metric, gate) in enumerate(plan.gates.items()):
        yield "gates" if index == 0 else "", f"{metric}: {gate_sentence(gate)}"
    if evaluation.detectable_gain is not None:
        yield "can tell", f"a gain of {evaluation.detectable_gain:.3f} or more, with {_test_side(plan)}"


def _test_side(plan: Plan) -> str:
    if isinstance(plan, LlmPlan):
        return count_text(min(plan.data.facts.test_rows, plan.evaluation.generate_rows), "answer")
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return count_text(plan.data.facts.test_queries, "query")


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
