"""A spec whose sections were read one by one, so that one bad section does not hide the faults of another."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ftspec.spec.base import Section
from ftspec.spec.data import Data
from ftspec.spec.evaluation import Evaluation, Gate
from ftspec.spec.kinds import SPECS, AnySpec
from ftspec.spec.llm import Adapter, LlmEvaluation, LlmExport, LlmModel, LlmSpec, LlmTrain
from ftspec.spec.llm_data import LlmData
from ftspec.spec.metadata import Metadata
from ftspec.spec.model import Model
from ftspec.spec.resources import Export, Resources
from ftspec.spec.spec import EmbeddingSpec
from ftspec.spec.train import Train

_HEAD = ("apiVersion", "kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingParts:
    """Sections that could be read; None for the others. `whole` only if all could."""

    whole: EmbeddingSpec | None = None
    metadata: Metadata | None = None
    model: Model | None = None
    data: Data | None = None
    train: Train | None = None
    evaluation: Evaluation | None = None
    gates: dict[str, Gate] | None = None
    resources: Resources | None = None
    export: Export | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmParts:
    """Sections that could be read; None for the others. `whole` only if all could."""

    whole: LlmSpec | None = None
    metadata: Metadata | None = None
    model: LlmModel | None = None
    adapter: Adapter | None = None
    data: LlmData | None = None
    train: LlmTrain | None = None
    evaluation: LlmEvaluation | None = None
    gates: dict[str, Gate] | None = None
    resources: Resources | None = None
    export: LlmExport | None = None


Parts = EmbeddingParts | LlmParts
_PARTS: dict[type[AnySpec], Any] = {EmbeddingSpec: EmbeddingParts, LlmSpec: LlmParts}


def read_parts(tree: dict[str, Any]) -> tuple[Parts, list[ErrorDetails]]:
    """Reads the whole, and section by section if that fails. `tree["kind"]` is known."""
    kind = SPECS[tree["kind"]]
    parts = _PARTS[kind]
    try:
        spec = kind.model_validate(tree)
    except ValidationError as error:
        return parts(**_sections(kind, tree)), error.errors(include_url=False)
    return parts(
        whole=spec, **{name: getattr(spec, name) for name in kind.model_fields if name not in _HEAD}
    ), []


def _sections(kind: type[Section], tree: dict[str, Any]) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name in _HEAD:
            continue
        if name not in tree:
            sections[name] = None if field.is_required() else field.get_default(call_default_factory=True)
            continue
        try:
            sections[name] = _adapter(kind, name).validate_python(tree[name])
        except ValidationError:
            sections[name] = None
    return sections


@cache
def _adapter(kind: type[Section], section: str) -> TypeAdapter[Any]:
    annotation: Any = kind.model_fields[section].annotation
    return TypeAdapter(annotation)
