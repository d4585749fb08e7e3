"""Changes of a spec that make a run fit, found by trying them on the plan."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ftspec.passes.context import Context
from ftspec.passes.remedies_embedding import EMBEDDING_ATTEMPTS
from ftspec.passes.remedies_llm import LLM_ATTEMPTS
from ftspec.passes.units import GIB, gib
from ftspec.plan import embedding, llm
from ftspec.plan.model import OriginKind, Plan

MOST_OFFERED = 3

Least = Callable[[Plan], int]  # bytes that the leanest way to run a plan needs
Attempt = Callable[[Any, Context, int, Least], Iterator[str]]  # of a plan of the attempt's kind

# By kind; cheapest first: what changes the resulting model least and costs no new machine.
ATTEMPTS: dict[str, Iterable[Attempt]] = {embedding.KIND: EMBEDDING_ATTEMPTS, llm.KIND: LLM_ATTEMPTS}


def remedies(plan: Plan, context: Context, limit: int, least: Least) -> list[str]:
    """At most three changes, each of which fits into `limit` bytes on its own; cheapest first. The last one
    always fits: as much memory as is needed."""
    offers: list[str] = []
    for attempt in ATTEMPTS[plan.kind]:
        offers.extend(attempt(plan, context, limit, least))
    if len(offers) >= MOST_OFFERED:
        return offers[:MOST_OFFERED]
    return [*offers[: MOST_OFFERED - 1], _more_memory(plan, limit, least(plan))]


def _more_memory(plan: Plan, limit: int, needed: int) -> str:
    wish = plan.origins.get("execution.memory_limit_bytes")
    if wish is not None and wish.kind is OriginKind.GIVEN:
        return f"`resources.limits.memory: {math.ceil(needed / 2**20)}MiB`, if the machine has it"
    missing = math.ceil((needed - limit) / GIB * 10) / 10
    return f"{missing:.1f} GiB more memory ({gib(needed)})"
