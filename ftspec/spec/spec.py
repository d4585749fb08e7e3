"""The whole spec of `kind: Embedding`."""

from typing import Literal

from pydantic import Field

from ftspec.spec.base import Section
from ftspec.spec.data import Data
from ftspec.spec.evaluation import Evaluation, Gate
from ftspec.spec.metadata import Metadata
from ftspec.spec.model import Model
from ftspec.spec.resources import Export, Resources
from ftspec.spec.train import Train


class EmbeddingSpec(Section):
    """Fine-tune a bi-encoder and prove that it is better than its base."""

    apiVersion: Literal["ftspec/v1"]  # noqa: N815 - the name that users write
    """Version of the spec language."""
    kind: Literal["Embedding"]
    """What is made."""
    metadata: Metadata
    """Who the spec is."""
    model: Model
    """The base model and what of it is trained."""
    data: Data
    """Where rows come from."""
    train: Train
    """Objective and optimisation."""
    evaluation: Evaluation = Evaluation()
    """How the result is measured."""
    gates: dict[str, Gate] = Field(default_factory=dict)
    """What the result must reach. Where no gate has a `min_gain`, the primary metric must beat the baseline."""
    resources: Resources = Resources()
    """Wishes about the machine."""
    export: Export = Export()
    """Form of the result."""
