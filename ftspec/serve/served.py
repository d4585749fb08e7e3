"""Which model answers for a name, and where the documents and their embeddings of its run lie."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.card import PASSPORT
from ftspec.plan.embedding import KIND as EMBEDDING
from ftspec.plan.embedding import EmbeddingPlan, Prompts
from ftspec.plan.space import space_id_of
from ftspec.plan.text import plan_from_json
from ftspec.store.artifacts import Artifacts
from ftspec.store.environments import pointer
from ftspec.store.history import find_whole, not_whole
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel, find_model_version, list_models
from ftspec.store.run_record import RunRecord, all_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How texts are put to a model. Embeddings made in another way belong to another space."""

    max_seq_length: int
    prompts: Prompts
    pooling: str
    similarity: str
    trust_remote_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that can answer. `version` is None for the base model; `fallback` says why the base
    model answers although nobody asked for it."""

    name: str
    version: str | None
    folder: Path
    digest: str
    reading: Reading
    split: Path  # artefact that holds the documents
    encoded: Path | None  # artefact with their embeddings by this model; None: not there
    fallback: str = ""
    space_id: str | None = None  # which vectors its own may be compared with; None: not recorded


def serve_model(project: Project, name: str, *, version: str | None = None, use_base: bool = False) -> Served:
    """The registered model `name`, by default its current version; or the base model of its run.

    Where runs of that name exist but no version is current, the base model answers, and `fallback`
    says so. Raises FtspecError: no such name or version, or the run's files are gone.
    """
    model, found = find_model_version(project, name, version)
    if use_base:
        return _base(project, _record(project, name, model), fallback="")
    if model is not None:
        return _registered(project, model)
    records = _records(project, name)
    if records and version is None:
        reason = f"no promoted model called `{name}`; answering with the base model"
        return _base(project, records[-1], fallback=reason)
    if any(each.name == name for each in list_models(project)):
        raise FtspecError(*found)
    raise _unknown(project, name)


def find_registered(project: Project, name: str, version: str | None) -> RegisteredModel:
    """A registered version, by default the current one. Raises FtspecError with what there is."""
    model, found = find_model_version(project, name, version)
    if model is not None:
        return model
    if any(each.name == name for each in list_models(project)):
        raise FtspecError(*found)
    raise _unknown(project, name)


def find_promoted(project: Project, name: str, environment: str) -> RegisteredModel:
    """The version that an environment points to. Raises FtspecError: FTS681 when it holds none of that name,
    FTS682 when the files that were promoted are not here."""
    place = pointer(project, name, environment)
    if place is None:
        raise FtspecError(
            Diagnostic(
                code=codes.NOT_PROMOTED,
                detail=f"{environment} holds no `{name}`",
                help=f"`ftspec promote {name} --to {environment}` promotes it; `ftspec history {name}` tells what was",
            )
        )
    model = find_whole(project, place)
    if model is None:
        raise FtspecError(not_whole(project, place))
    return model


def _registered(project: Project, model: RegisteredModel) -> Served:
    if model.kind != EMBEDDING:
        raise _not_searchable(model.name, model.kind)
    passport = read_passport(model.path)
    try:
        how = passport["model"]
        reading = Reading(
            max_seq_length=how["max_seq_length"],
            prompts=Prompts(query=how["prompts"]["query"], document=how["prompts"]["document"]),
            pooling=how["pooling"],
            similarity=how["similarity"],
            trust_remote_code=how["trust_remote_code"],
        )
        split_key, encoded_key = passport["stages"]["split"], passport["stages"]["encode_tuned"]
    except (KeyError, TypeError) as error:
        raise _damaged(f"{model.name} {model.version}: {PASSPORT} lacks {error}") from error
    return Served(
        name=model.name,
        version=model.version,
        folder=model.path,
        digest=model.digest,
        reading=reading,
        split=_split(project, split_key, model.name),
        encoded=_encoded(project, "encode_tuned", encoded_key),
        space_id=model.space_id,
    )


def _base(project: Project, record: RunRecord, *, fallback: str) -> Served:
    plan = _plan(project, record)
    keys = {stage.name: stage.key for stage in plan.stages}
    linked = project.runs / record.run_id / "base"
    folder = linked if linked.is_dir() else Path(plan.model.facts.location)
    if not folder.is_dir():
        raise _damaged(f"the base model of `{record.name}` is no longer at {folder}")
    # With another baseline, `encode_base` holds the embeddings of that one.
    own = plan.evaluation.baseline_facts is None
    return Served(
        name=record.name,
        version=None,
        folder=folder,
        digest=plan.model.facts.digest,
        reading=Reading(
            max_seq_length=plan.model.max_seq_length,
            prompts=plan.model.prompts,
            pooling=plan.model.pooling,
            similarity=plan.model.similarity,
            trust_remote_code=plan.model.trust_remote_code,
        ),
        split=_split(project, keys["split"], record.name),
        encoded=_encoded(project, "encode_base", keys["encode_base"]) if own else None,
        fallback=fallback,
        space_id=space_id_of(plan.model),
    )


def read_passport(folder: Path) -> dict[str, Any]:
    """ftspec.json of a model folder. Raises FtspecError when it is missing or damaged."""
    try:
        document = json.loads((folder / PASSPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(f"{folder.parent.name}/{folder.name}/{PASSPORT}: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise _damaged(f"{folder.parent.name}/{folder.name}/{PASSPORT} is not an object")
    return document


def _records(project: Project, name: str) -> tuple[RunRecord, ...]:
    return tuple(record for record in all_records(project)[0] if record.name == name)


def _record(project: Project, name: str, model: RegisteredModel | None) -> RunRecord:
    records = _records(project, name)
    run_id = model.meta.get("run_id") if model is not None else None
    for record in records:
        if record.run_id == run_id:
            return record
    if not records:
        if model is not None:
            raise _damaged(f"the run that made `{name}` {model.version} is gone, and its base model with it")
        raise _unknown(project, name)
    return records[-1]


def _plan(project: Project, record: RunRecord) -> EmbeddingPlan:
    path = project.root / record.plan_path
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _damaged(f"{record.plan_path}: {error.strerror}") from error
    plan, found = plan_from_json(text, name=record.plan_path)
    if plan is None:
        raise FtspecError(*found)
    if not isinstance(plan, EmbeddingPlan):
        raise _not_searchable(plan.name, plan.kind)
    return plan


def _split(project: Project, key: str, name: str) -> Path:
    artifact = Artifacts(project).find("split", key)
    if artifact is None:
        raise _damaged(f"the documents of `{name}` are no longer in the store (stage split)")
    return artifact.path


def _encoded(project: Project, stage: str, key: str) -> Path | None:
    artifact = Artifacts(project).find(stage, key)
    return None if artifact is None else artifact.path


def _unknown(project: Project, name: str) -> FtspecError:
    known = sorted(
        {model.name for model in list_models(project)} | {record.name for record in all_records(project)[0]}
    )
    if name in known:  # of a run alone
        return FtspecError(
            Diagnostic(
                code=codes.REGISTERED_MODEL_NOT_FOUND,
                detail=f"no version of `{name}` is registered any more",
                help="its runs and their evidence are still there: `ftspec runs`",
            )
        )
    close = get_close_matches(name, known, n=1)
    if close:
        help = f"did you mean `{close[0]}`?"
    elif known:
        help = f"there is {', '.join(f'`{each}`' for each in known)}"
    else:
        help = "`ftspec apply SPEC` makes the first one"
    return FtspecError(
        Diagnostic(code=codes.REGISTERED_MODEL_NOT_FOUND, detail=f"no model is called `{name}`", help=help)
    )


def _not_searchable(name: str, kind: str) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=codes.NOT_SEARCHABLE,
            detail=f"`{name}` is of kind {kind}",
            help=f"`ftspec models show {name}` tells how it is loaded",
        )
    )


def _damaged(detail: str) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=codes.ARTIFACT_DAMAGED, detail=detail, help="`ftspec apply` of the spec makes it again"
        )
    )
