"""The data section of a plan, and what the facts about the data say against training on it."""

from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.plan.embedding import EmbeddingDataPlan, Filters, Limit, SourcePlan
from ftspec.plan.formats import format_of_name
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Split, Value
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import EmbeddingDesk
from ftspec.resolve.evaluation import detectable_gain
from ftspec.spec.data import BeirSource, CodeSource, Data, DocumentsSource, FileSource, Source
from ftspec.spec.synthesize import synth_settings

FEW_QUERIES = 100  # below it only gains above .06 can be told from noise
LOW_DIVERSITY = 0.2  # distinct positives for each distinct query
TRUNCATED_SHARE = 0.1  # of the texts of a column

_SPLIT_REASONS = {"group": Reason.SPLIT_BY_GROUP, "positive": Reason.SPLIT_BY_POSITIVE}


def source_plan(source: Source) -> SourcePlan:
    """One source in the words of the plan; `format: auto` goes by the file's ending (else None)."""
    match source:
        case CodeSource():
            return SourcePlan(
                type="code",
                path=source.path,
                include=tuple(source.include),
                exclude=tuple(source.exclude),
            )
        case FileSource():
            return SourcePlan(
                type="file",
                path=source.path,
                format=format_of_name(source.path) if source.format == "auto" else source.format,
                roles=_roles(source),
            )
        case BeirSource():
            return SourcePlan(type="beir", path=source.path, split=source.split)
        case DocumentsSource():
            roles = {name: column for name, column in source.roles.model_dump().items() if column is not None}
            return SourcePlan(
                type="documents",
                path=source.path,
                format=format_of_name(source.path) if source.format == "auto" else source.format,
                roles=FrozenMap(roles),
                synthesize=synth_settings(source.synthesize),
            )


def filters_plan(data: Data) -> Filters:
    return Filters(**data.filters.model_dump())


def limit_plan(data: Data) -> Limit:
    return Limit(**data.limit.model_dump())


def split_plan(data: Data) -> Split:
    """As written: `by: auto` is settled by the rows, in `DataFacts.split_by`."""
    return Split(**data.split.model_dump())


def resolve_data(desk: EmbeddingDesk, folder: Path) -> EmbeddingDataPlan:
    """The data section; `split.by: auto` becomes what the rows allow."""
    data = desk.spec.data
    _check_leakage(desk)
    _check_slices(desk)
    _note_quality(desk)
    _explain_formats(desk)
    return EmbeddingDataPlan(
        folder=str(folder),
        train=tuple(source_plan(source) for source in data.train),
        evaluation=tuple(source_plan(source) for source in data.evaluation),
        filters=filters_plan(data),
        limit=limit_plan(data),
        split=_resolve_split(desk),
        on_error=data.on_error,
        facts=desk.data,
    )


def _explain_formats(desk: EmbeddingDesk) -> None:
    data = desk.spec.data
    for name, sources in (("train", data.train), ("evaluation", data.evaluation)):
        for index, source in enumerate(sources):
            if isinstance(source, FileSource | DocumentsSource) and source.format == "auto":
                desk.decide(
                    f"data.{name}.{index}.format",
                    format_of_name(source.path),
                    Reason.FORMAT_BY_ENDING,
                    by="resolve_data",
                    facts={"path": source.path},
                    before="auto",
                    at=("data", name, index, "format"),
                )


def _roles(source: FileSource) -> FrozenMap[Value]:
    roles: dict[str, Value] = {}
    for role, column in source.roles.model_dump().items():
        if column is not None:
            roles[role] = tuple(column) if isinstance(column, list) else column
    return FrozenMap(roles)


def _resolve_split(desk: EmbeddingDesk) -> Split:
    split = split_plan(desk.spec.data)
    decided = desk.data.split_by
    if split.by != "auto" or decided not in _SPLIT_REASONS:
        return split
    desk.decide(
        "data.split.by",
        decided,
        _SPLIT_REASONS[decided],
        by="resolve_data",
        before="auto",
        facts={"train_groups": desk.data.train_groups, "test_groups": desk.data.test_groups},
        at=("data", "split", "by"),
    )
    return Split(**{**desk.spec.data.split.model_dump(), "by": decided})


def _check_leakage(desk: EmbeddingDesk) -> None:
    facts = desk.data
    if desk.spec.data.split.leakage != "fail" or not (facts.leaked_queries or facts.leaked_positives):
        return
    shared = [
        f"{count:,} {one if count == 1 else several}"
        for count, one, several in (
            (facts.leaked_queries, "query", "queries"),
            (facts.leaked_positives, "positive", "positives"),
        )
        if count
    ]
    examples = "; ".join(repr(example) for example in facts.leak_examples)
    desk.fault(
        codes.LEAKAGE,
        f"train and test share {' and '.join(shared)}" + (f", such as {examples}" if examples else ""),
        "data",
        "evaluation",
        help="drop these rows from the training data with `data.split.leakage: drop_train`, or leave "
        "`data.evaluation` away so that the split holds out rows that share nothing with the rest",
    )


def _check_slices(desk: EmbeddingDesk) -> None:
    for index, name in enumerate(desk.spec.evaluation.slices):
        if name not in desk.data.slices:
            carried = ", ".join(desk.data.slices) or "none"
            desk.fault(
                codes.MISSING_COLUMN,
                f"results cannot be sliced by {name!r}; columns that the held-out queries carry: {carried}",
                "evaluation",
                "slices",
                index,
                help="name the column as `roles.group` of the source, or remove the slice",
            )


def _note_quality(desk: EmbeddingDesk) -> None:
    facts = desk.data
    for source in facts.sources:
        if source.skipped:
            examples = "; ".join(source.skip_examples)
            desk.note(
                codes.ROWS_SKIPPED,
                f"{source.label}: {source.skipped} of {source.rows + source.skipped} rows"
                + (f" ({examples})" if examples else ""),
            )
    if facts.test_queries < FEW_QUERIES:
        least = detectable_gain(facts.test_queries)
        desk.note(
            codes.FEW_QUERIES,
            f"with {facts.test_queries} of them a gain below {least:.3f} cannot be told from noise",
        )
    pairs = desk.spec.train.objective.type != "labelled_classes"
    if pairs and facts.distinct_positives < LOW_DIVERSITY * facts.distinct_queries:
        desk.note(
            codes.LOW_DIVERSITY,
            f"{facts.distinct_positives} for {facts.distinct_queries} distinct queries",
        )
    columns = (("queries", facts.query_lengths), ("documents", facts.document_lengths))
    cut = [
        f"{lengths.share_above_limit:.0%} of the {what} (longest {lengths.max} tokens)"
        for what, lengths in columns
        if lengths.share_above_limit > TRUNCATED_SHARE
    ]
    if cut:
        desk.note(codes.TRUNCATED_TEXTS, " and ".join(cut))
