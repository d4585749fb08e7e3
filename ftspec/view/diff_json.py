"""A difference for programs."""

from typing import Any

from pydantic_core import to_jsonable_python

from ftspec.plan.changes import MEANING, RULES, cost
from ftspec.plan.difference import Difference, SpecChanges

FORMAT_VERSION = "1.0"
_HEAD = (
    "category",
    "changes",
    "stages",
    "decisions",
    "estimates",
    "fidelity",
    "data",
    "shifts",
    "continuation",
)


def diff_json(found: Difference) -> dict[str, Any]:
    """`format_version, category, changes [{path, old, new, category, why, rule, place}], stages [{name, action,
    reason, seconds}], decisions [{field, old, new, reason, by, facts}], estimates {seconds, seconds_all,
    factor, …}, fidelity [{field, old, new, difference}], data […], shifts […], continuation {form, refused,
    …}, old, new, notes`. `category` is null where nothing changed."""
    document: dict[str, Any] = to_jsonable_python(found, fallback=dict)
    return {
        "format_version": FORMAT_VERSION,
        **{name: document[name] for name in _HEAD},
        **{name: value for name, value in document.items() if name not in _HEAD},
    }


def spec_changes_json(found: SpecChanges) -> dict[str, Any]:
    """`category` (the costliest; null where no change means anything), `diffs` as above, and paths: `new`,
    `deleted`, `renamed` [{old, new}]."""
    categories = [each.category for each in found.differences if each.category is not None]
    return {
        "category": max(categories, key=cost, default=None),
        "diffs": [diff_json(each) for each in found.differences],
        "new": list(found.new),
        "deleted": list(found.deleted),
        "renamed": [{"old": old, "new": new} for old, new in found.renamed],
    }


def rules_json() -> dict[str, Any]:
    """The categories, cheapest first, and one rule for every key."""
    return {
        "format_version": FORMAT_VERSION,
        "categories": [{"name": str(name), "meaning": text} for name, text in MEANING.items()],
        "rules": [to_jsonable_python(rule) for rule in RULES],
    }
