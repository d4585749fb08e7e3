"""The sections of an LLM plan as short sentences."""

from collections.abc import Iterator

from ftspec.plan.llm import LlmPlan
from ftspec.plan.llm_data import LlmDataFacts
from ftspec.view.amounts import base_text, count_text, millions_text

_SPLITS = {
    "given": "given by the spec",
    "group": "by group",
    "document": "by document",
    "random": "at random",
}
_TRAINED = {
    "completions": "the last answer of each row is trained",
    "assistant": "every answer of the assistant is trained",
    "all": "every token is trained",
}


def model_sentence(plan: LlmPlan) -> str:
    model, facts, adapter = plan.model, plan.model.facts, plan.adapter
    parts = [
        base_text(plan),
        f"{facts.num_layers} layers, width {facts.hidden_size}",
        f"{model.max_seq_length} tokens",
    ]
    if model.quantization_bits is not None:
        parts.append(f"base in {model.quantization_bits} bits")
    if adapter.type == "full":
        parts.append(f"all {millions_text(model.trainable_parameters)} parameters trained")
    else:
        where = f" of the last {adapter.layers} layers" if adapter.layers is not None else ""
        parts.append(
            f"{adapter.type} r={adapter.r} alpha={adapter.alpha} on {', '.join(adapter.target_modules)}{where} "
            f"({millions_text(model.trainable_parameters)} of {millions_text(facts.total_parameters)} trained)"
        )
    return ", ".join(parts)


def data_sentences(plan: LlmPlan) -> Iterator[tuple[str, str]]:
    facts = plan.data.facts
    sources = ", ".join(f"{source.label} ({source.type})" for source in facts.sources)
    rows = count_text(facts.train_rows, "training row")
    if facts.train_rows_available > facts.train_rows:
        rows += f" of {facts.train_rows_available:,}"
    if facts.duplicates_removed:
        rows += f" ({count_text(facts.duplicates_removed, 'duplicate')} left out)"
    if plan.train.packing:
        rows += f" packed into {count_text(facts.sequences, 'sequence')}"
    yield "data", f"{sources}: {rows}, {facts.trained_tokens:,} of {facts.train_tokens:,} tokens trained"
    limit, lengths = plan.model.max_seq_length, facts.lengths
    lost = [
        f"{count:,} {what}"
        for count, what in (
            (facts.dropped_too_long, "longer rows dropped"),
            (facts.prompt_too_long, "dropped for their prompts"),
            (facts.truncated, "cut"),
        )
        if count
    ]
    yield (
        "lengths",
        f"half of the rows up to {lengths.p50:,}, 95 % up to {lengths.p95:,}, longest {lengths.max:,} tokens; "
        f"limit {limit:,}" + (": " + ", ".join(lost) if lost else ""),
    )
    if facts.raft is not None:
        raft = facts.raft
        yield (
            "raft",
            f"{count_text(raft.questions, 'question')} over {count_text(raft.documents, 'document')}, the oracle shown "
            f"in {raft.oracle_present:,}, {count_text(raft.distractors, 'distractor')} by {raft.retriever}, "
            f"answers {'extracted from their documents' if raft.answers == 'extractive' else 'written by an endpoint'}"
            + (f", {count_text(raft.refusals, 'refusal')}" if raft.refusals else "")
            + _left_of_raft(facts),
        )
    held_out = f"{count_text(facts.test_rows, 'row')}, {facts.tested_tokens:,} tokens scored"
    if plan.evaluation.generate_rows:
        answers = min(plan.evaluation.generate_rows, facts.test_rows)
        held_out += (
            f", {count_text(answers, 'answer')} of up to {plan.evaluation.max_new_tokens} tokens generated"
        )
    if facts.validation_rows:
        held_out += f"; {count_text(facts.validation_rows, 'row')} for validation"
    yield "held out", held_out
    split = _SPLITS.get(facts.split_by, facts.split_by)
    shared = facts.leaked_prompts + facts.leaked_documents
    split += "; train and test share nothing" if not shared else f"; {shared:,} texts are on both sides"
    if facts.overlap_dropped:
        split += f" ({count_text(facts.overlap_dropped, 'training row')} dropped for that)"
    yield "split", split


def _left_of_raft(facts: LlmDataFacts) -> str:
    """Shares are drawn over all rows: what drops leave of them may be shares of another kind."""
    assert facts.raft is not None
    if facts.raft_rows in (0, facts.raft.questions):  # 0: a plan of before they were counted
        return ""
    return (
        f"; {count_text(facts.raft_rows, 'row')} of them are left, {facts.raft_oracle_present:,} with the oracle"
        + (f", {count_text(facts.raft_refusals, 'refusal')}" if facts.raft_refusals else "")
    )


def objective_sentence(plan: LlmPlan) -> str:
    return f"next token; {_TRAINED[plan.train.train_on]}"
