"""Keys of stages: hashes over everything that can change a stage's output, by deny-list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftspec.plan.codec import HASH_VERSION, hash_of


@dataclass(frozen=True, slots=True)
class Keys:
    """Collects the document of each stage, which is stored beside its artefact."""

    versions: Mapping[str, int]
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, stage: str, **inputs: Any) -> str:
        """The key of a stage that reads `inputs`, and no others."""
        self.documents[stage] = {
            "stage": stage,
            "version": self.versions[stage],
            "hash_version": HASH_VERSION,
            **inputs,
        }
        return hash_of(self.documents[stage])
