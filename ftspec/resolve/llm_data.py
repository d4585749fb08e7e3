"""The data section of an LLM plan: what the survey found, and what of it is a fault or worth a note."""

from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.plan.llm_data import LlmDataPlan, LlmFilters, LlmLimit
from ftspec.plan.model import Split
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import LlmDesk
from ftspec.resolve.llm import MAX_SEQ_LENGTH
from ftspec.resolve.llm_sources import source_plan

FEW_ROWS = 100
LOST_SHARE = 0.1  # of the training rows, by length


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
