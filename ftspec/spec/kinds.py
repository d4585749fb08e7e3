"""The kinds of spec there are."""

from collections.abc import Mapping

from ftspec.spec.llm import LlmSpec
from ftspec.spec.spec import EmbeddingSpec

AnySpec = EmbeddingSpec | LlmSpec
SPECS: Mapping[str, type[EmbeddingSpec] | type[LlmSpec]] = {"Embedding": EmbeddingSpec, "LLM": LlmSpec}
