"""A plan as JSON values, and its digest, which works by a deny-list: a new field counts unless it is declared
here as one that does not."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic_core import to_jsonable_python

from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan

HASH_VERSION = 1  # raised when the canonical form changes, so that old entries can be hashed again

# Where things lie and what the store holds; the same plan on another day or disk.
VOLATILE = (
    "spec_path",
    "machine.name",  # of its profile, or this-machine; its facts count
    "data.folder",
    "model.facts.location",
    "model.facts.origin",
    "evaluation.baseline_facts.location",
    "evaluation.baseline_facts.origin",
    "decisions.*.place",
    "origins.*.place",
    "stages.*.action",
    "stages.*.reason",
    "estimates",  # calibrated by earlier runs
    "extends",  # a cheaper way to the same weights
)

# Whether a value was written or left to its default: the value itself counts. And how a file of it is laid out.
NOT_IDENTITY = (*VOLATILE, "origins", "format_version")


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, without its digest. The adapter would give the same, and take longer to
    build than the rest of a warm plan's keys."""
    document: dict[str, Any] = to_jsonable_python(plan, fallback=_plain)
    return document


def _plain(value: object) -> dict[str, Any]:
    assert isinstance(value, FrozenMap), type(value)
    return dict(value)


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(value: object) -> str:
    """`sha256:` of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest(plan: Plan) -> str:
    """Identity of the plan: same inputs, same digest, on any machine that gives the same facts."""
    return hash_of(without(plan_document(plan), NOT_IDENTITY))


def without(document: Any, paths: Iterable[str]) -> Any:
    """A copy without the given dotted paths; `*` stands for every key or index of one level."""
    split = [tuple(path.split(".")) for path in paths]
    return _prune(document, split)


def _prune(node: Any, paths: list[tuple[str, ...]]) -> Any:
    if isinstance(node, dict):
        items: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    else:
        return node
    kept = []
    for key, value in items:
        below = [path[1:] for path in paths if path[0] in (str(key), "*")]
        if () not in below:
            kept.append((key, _prune(value, below)))
    return dict(kept) if isinstance(node, dict) else [value for _, value in kept]
