"""Reading the world for a spec: its base model, its data, the machine, the backends."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.data.request import DataRequest
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.plan.embedding import EmbeddingDataPlan
from ftspec.plan.facts import EmbeddingDataFacts, ModelFacts
from ftspec.resolve.data import filters_plan, limit_plan, source_plan, split_plan
from ftspec.spec.spec import EmbeddingSpec
from ftspec.store.project import Project
from ftspec.target.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a plan is made from besides the spec."""

    hardware: Hardware
    targets: tuple[Target, ...]
    model: ModelFacts
    baseline: ModelFacts | None  # None: the untuned base model
    data: EmbeddingDataFacts


def gather(
    spec: EmbeddingSpec,
    *,
    folder: Path,
    project: Project,
    hardware_name: str | None = None,
) -> tuple[World | None, Diagnostics]:
    """Collect all facts; faults of every kind are reported together. Loads and downloads nothing."""
    from ftspec.models.find import find_model

    found = Diagnostics()
    hardware, here = read_hardware(hardware_name)
    found.extend(here)
    targets, here = read_targets(project.cache)
    found.extend(here)
    places = {"folder": folder, "store": project.models, "cache": project.cache}
    model, here = find_model(spec.model.base, spec.model.revision, **places)
    found.extend(_about(here, "model", "base"))
    baseline: ModelFacts | None = None
    if spec.evaluation.baseline != "base":
        baseline, here = find_model(spec.evaluation.baseline, None, **places)
        found.extend(_about(here, "evaluation", "baseline"))
    data: EmbeddingDataFacts | None = None
    if model is not None:
        data, here = read_data(request_of(spec, folder), model, spec.model.max_seq_length, project)
        found.extend(here)
    if hardware is None or model is None or data is None or found.has_errors:
        return None, found
    return World(hardware=hardware, targets=tuple(targets), model=model, baseline=baseline, data=data), found


def _about(found: Iterable[Diagnostic], *key: str) -> Iterator[Diagnostic]:
    return (replace(each, about=key) for each in found)


def read_hardware(name: str | None) -> tuple[Hardware | None, Diagnostics]:
    """The named profile, or this machine."""
    if name is None:
        from ftspec.hardware.detect import detect

        return detect(), Diagnostics()
    from ftspec.hardware.profiles import load_hardware

    return load_hardware(name)


def read_targets(cache: Path) -> tuple[Sequence[Target], Diagnostics]:
    from ftspec.target.load import load_targets

    return load_targets(cache=cache)


def read_data(
    request: DataRequest, model: ModelFacts, max_seq_length: int | None, project: Project
) -> tuple[EmbeddingDataFacts | None, Diagnostics]:
    from ftspec.data.survey import survey

    tokenizer = Path(model.location) / "tokenizer.json"
    if not tokenizer.is_file():
        found = Diagnostics()
        found.add(
            codes.MODEL_NOT_READABLE,
            f"{model.id} has no tokenizer.json",
            help="save it once with a fast tokenizer (`AutoTokenizer.from_pretrained(...).save_pretrained(...)`)",
            about=("model", "base"),
        )
        return None, found
    return survey(request, tokenizer, max_seq_length or model.max_seq_length, project.cache)


def request_of(spec: EmbeddingSpec, folder: Path) -> DataRequest:
    return DataRequest(
        folder=folder,
        train=tuple(source_plan(source) for source in spec.data.train),
        evaluation=tuple(source_plan(source) for source in spec.data.evaluation),
        filters=filters_plan(spec.data),
        limit=limit_plan(spec.data),
        split=split_plan(spec.data),
        on_error=spec.data.on_error,
        slices=tuple(spec.evaluation.slices),
        global_batch_size=spec.train.global_batch_size,
    )


def request_of_plan(data: EmbeddingDataPlan, slices: tuple[str, ...], global_batch_size: int) -> DataRequest:
    """The same request from a plan: `split.by` is resolved there, which gives the same split."""
    return DataRequest(
        folder=Path(data.folder),
        train=data.train,
        evaluation=data.evaluation,
        filters=data.filters,
        limit=data.limit,
        split=data.split,
        on_error=data.on_error,
        slices=slices,
        global_batch_size=global_batch_size,
    )
