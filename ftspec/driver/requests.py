"""What the data room is asked for: by a spec that is being planned, and by a plan that runs.

Both must ask the same, or a plan would promise other rows than the run makes.
"""

from pathlib import Path

from ftspec.data.llm_request import LlmRequest
from ftspec.data.request import DataRequest
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import DecoderFacts
from ftspec.plan.llm import LlmPlan
from ftspec.plan.llm_data import LlmFilters, LlmLimit
from ftspec.plan.model import Split
from ftspec.resolve.data import filters_plan, limit_plan, source_plan, split_plan
from ftspec.resolve.llm import sequence_length
from ftspec.resolve.llm_sources import source_plan as text_source_plan
from ftspec.spec.llm import LlmSpec
from ftspec.spec.spec import EmbeddingSpec
from ftspec.store.project import Project


def embedding_request(spec: EmbeddingSpec, folder: Path, project: Project) -> DataRequest:
    return DataRequest(
        folder=folder,
        synth=project.synth,
        train=tuple(source_plan(source) for source in spec.data.train),
        evaluation=tuple(source_plan(source) for source in spec.data.evaluation),
        filters=filters_plan(spec.data),
        limit=limit_plan(spec.data),
        split=split_plan(spec.data),
        on_error=spec.data.on_error,
        slices=tuple(spec.evaluation.slices),
        global_batch_size=spec.train.global_batch_size,
    )


def embedding_request_of(plan: EmbeddingPlan, project: Project) -> DataRequest:
    """`split.by` is resolved in a plan, which gives the same split."""
    data = plan.data
    return DataRequest(
        folder=Path(data.folder),
        synth=project.synth,
        train=data.train,
        evaluation=data.evaluation,
        filters=data.filters,
        limit=data.limit,
        split=data.split,
        on_error=data.on_error,
        slices=plan.evaluation.slices,
        global_batch_size=plan.train.global_batch_size,
    )


def llm_request(spec: LlmSpec, folder: Path, model: DecoderFacts, project: Project) -> LlmRequest:
    data, train = spec.data, spec.train
    return LlmRequest(
        folder=folder,
        train=tuple(text_source_plan(source) for source in data.train),
        evaluation=tuple(text_source_plan(source) for source in data.evaluation),
        filters=LlmFilters(**data.filters.model_dump()),
        limit=LlmLimit(**data.limit.model_dump()),
        split=Split(**data.split.model_dump()),
        on_error=data.on_error,
        slices=tuple(spec.evaluation.slices),
        synth=project.synth,
        base=Path(model.location),
        max_seq_length=sequence_length(spec.model.max_seq_length, model.max_positions),
        train_on=train.train_on,
        packing=train.packing,
        too_long=train.too_long,
        global_batch_size=train.global_batch_size,
    )


def llm_request_of(plan: LlmPlan, project: Project) -> LlmRequest:
    """`split.by` is resolved in a plan, which gives the same split."""
    data, train = plan.data, plan.train
    return LlmRequest(
        folder=Path(data.folder),
        train=data.train,
        evaluation=data.evaluation,
        filters=data.filters,
        limit=data.limit,
        split=data.split,
        on_error=data.on_error,
        slices=plan.evaluation.slices,
        synth=project.synth,
        base=Path(plan.model.facts.location),
        max_seq_length=plan.model.max_seq_length,
        train_on=train.train_on,
        packing=train.packing,
        too_long=train.too_long,
        global_batch_size=train.global_batch_size,
    )
