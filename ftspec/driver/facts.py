"""Reading the world for a spec: its base model, its data, the machine, the backends."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.data.request import DataRequest
from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.driver.listening import Progress, survey_progress
from ftspec.driver.lock_keys import model_key
from ftspec.driver.requests import embedding_request, llm_request
from ftspec.hardware.model import Hardware
from ftspec.plan.contract import Lock
from ftspec.plan.facts import DataFacts, EmbeddingDataFacts, ModelFacts
from ftspec.spec.kinds import AnySpec
from ftspec.spec.llm import LlmSpec
from ftspec.spec.spec import EmbeddingSpec
from ftspec.store.lockfile import read_lock
from ftspec.store.project import Project
from ftspec.target.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a plan is made from besides the spec."""

    hardware: Hardware
    targets: tuple[Target, ...]
    model: ModelFacts
    baseline: ModelFacts | None  # None: the untuned base model
    data: DataFacts
    lock: Lock | None = None  # of the project, which named the revisions


def gather(
    spec: AnySpec,
    *,
    folder: Path,
    project: Project,
    hardware_name: str | None = None,
    hardware: Hardware | None = None,
    upgrade: Collection[str] = (),
) -> tuple[World | None, Diagnostics]:
    """Collect all facts; faults of every kind are reported together. Loads and downloads nothing.

    Models have the revisions that the project's lock names, but for those in `upgrade`. `hardware` stands for
    itself, in place of the named profile or this machine.
    """
    found = Diagnostics()
    if hardware is None:
        hardware, here = read_hardware(hardware_name)
        found.extend(here)
    lock, here = read_lock(project.root)
    found.extend(here)
    locked = Locked(lock, folder, project.root, upgrade)
    with suppress(OSError):  # a project that cannot be written can still be planned
        project.create()  # before caches make the folder, which git would then see
    targets, here = read_targets(project.cache)
    found.extend(here)
    with survey_progress() as progress:
        if isinstance(spec, LlmSpec):
            models, here = _llm_facts(spec, folder, project, locked, progress)
        else:
            models, here = _embedding_facts(spec, folder, project, locked, progress)
    found.extend(here)
    model, baseline, data = models
    if hardware is None or model is None or data is None or found.has_errors:
        return None, found
    world = World(
        hardware=hardware, targets=tuple(targets), model=model, baseline=baseline, data=data, lock=lock
    )
    return world, found


@dataclass(frozen=True, slots=True)
class Locked:
    """The revisions that a lock names for the models of a spec."""

    lock: Lock | None
    folder: Path
    root: Path
    upgrade: Collection[str]

    def revision(self, base: str, revision: str | None) -> str | None:
        key = model_key(base, revision, self.folder, self.root)
        if self.lock is None or key not in self.lock.models or {base, key} & set(self.upgrade):
            return None
        return self.lock.models[key].revision


_Facts = tuple[ModelFacts | None, ModelFacts | None, DataFacts | None]  # of base, baseline, data


def _embedding_facts(
    spec: EmbeddingSpec, folder: Path, project: Project, locked: Locked, progress: Progress | None
) -> tuple[_Facts, Diagnostics]:
    from ftspec.models.find import find_model

    found = Diagnostics()
    model, here = find_model(
        spec.model.base,
        spec.model.revision,
        folder=folder,
        store=project.models,
        cache=project.cache,
        locked=locked.revision(spec.model.base, spec.model.revision),
    )
    found.extend(_about(here, "model", "base"))
    baseline: ModelFacts | None = None
    if spec.evaluation.baseline != "base":
        baseline, here = find_model(
            spec.evaluation.baseline,
            None,
            folder=folder,
            store=project.models,
            cache=project.cache,
            locked=locked.revision(spec.evaluation.baseline, None),
        )
        found.extend(_about(here, "evaluation", "baseline"))
    data: DataFacts | None = None
    if model is not None:
        request = embedding_request(spec, folder, project)
        data, here = _survey(request, model, spec.model.max_seq_length, project, progress)
        found.extend(here)
    return (model, baseline, data), found


def _llm_facts(
    spec: LlmSpec, folder: Path, project: Project, locked: Locked, progress: Progress | None
) -> tuple[_Facts, Diagnostics]:
    from ftspec.data.llm_survey import survey_llm
    from ftspec.models.find import find_decoder

    found = Diagnostics()
    model, here = find_decoder(
        spec.model.base,
        spec.model.revision,
        folder=folder,
        store=project.models,
        cache=project.cache,
        locked=locked.revision(spec.model.base, spec.model.revision),
    )
    found.extend(_about(here, "model", "base"))
    if model is None:
        return (None, None, None), found
    request = llm_request(spec, folder, model, project)
    data, here = survey_llm(request, project.cache, on_progress=progress)
    found.extend(here)
    return (model, None, data), found


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


def _survey(
    request: DataRequest,
    model: ModelFacts,
    max_seq_length: int | None,
    project: Project,
    progress: Progress | None,
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
    length = max_seq_length or model.max_seq_length
    return survey(request, tokenizer, length, project.cache, on_progress=progress)
