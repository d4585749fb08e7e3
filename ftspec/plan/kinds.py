"""The kinds of plan there are."""

from collections.abc import Mapping

from ftspec.plan import embedding, llm
from ftspec.plan.model import Plan

PLAN_TYPES: Mapping[str, type[Plan]] = {
    embedding.KIND: embedding.EmbeddingPlan,
    llm.KIND: llm.LlmPlan,
}
