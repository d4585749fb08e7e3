"""A spec whose sections were read one by one, so that one bad section does not hide the faults of another."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ftspec.spec.data import Data
from ftspec.spec.evaluation import Evaluation, Gate
from ftspec.spec.metadata import Metadata
from ftspec.spec.model import Model
from ftspec.spec.resources import Export, Resources
from ftspec.spec.spec import EmbeddingSpec
from ftspec.spec.train import Train


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
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

    @classmethod
    def read(cls, tree: dict[str, Any]) -> tuple[Self, list[ErrorDetails]]:
        """Reads the whole, and section by section if that fails."""
        try:
            spec = EmbeddingSpec.model_validate(tree)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            names = (name for name in EmbeddingSpec.model_fields if name not in ("apiVersion", "kind"))
            return cls(whole=spec, **{name: getattr(spec, name) for name in names}), []
        sections: dict[str, Any] = {}
        for name, field in EmbeddingSpec.model_fields.items():
            if name in ("apiVersion", "kind"):
                continue
            if name not in tree:
                sections[name] = None if field.is_required() else field.get_default(call_default_factory=True)
                continue
            try:
                sections[name] = _adapter(name).validate_python(tree[name])
            except ValidationError:
                sections[name] = None
        return cls(**sections), errors


@cache
def _adapter(section: str) -> TypeAdapter[Any]:
    annotation: Any = EmbeddingSpec.model_fields[section].annotation
    return TypeAdapter(annotation)
