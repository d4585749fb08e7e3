"""Addressing the leaves of a plan by dotted paths: `execution.precision`, `gates.ndcg@10.min_gain`.

A leaf is a scalar, None, a tuple of scalars or a map of scalars. Facts are read off the world, not
chosen, so they are no leaves.
"""

from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass, replace
from typing import Any

from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Value

SECTIONS = ("model", "adapter", "data", "train", "evaluation", "gates", "export", "execution")

# Not choices: read off the world, or where the spec lies on this machine.
NOT_LEAVES = frozenset({"model.facts", "data.facts", "data.folder", "evaluation.baseline_facts"})


def leaves(plan: Plan) -> Iterator[tuple[str, Value]]:
    """All leaves in the order in which the sections declare them."""
    for section in SECTIONS:
        if hasattr(plan, section):
            yield from _walk(section, getattr(plan, section))


def get(plan: Plan, field: str) -> Value:
    """Value of a leaf. Raises KeyError for a path that is no leaf of this plan."""
    section = field.partition(".")[0]
    if section in SECTIONS and hasattr(plan, section):
        for path, value in _walk(section, getattr(plan, section)):
            if path == field:
                return value
    raise KeyError(field)


def replace_leaf(plan: Plan, field: str, value: Value) -> Plan:
    """A plan with one leaf changed. The path must exist: passes do not invent fields."""
    get(plan, field)
    changed: Plan = _replace(plan, tuple(field.split(".")), value)
    return changed


def _is_leaf(value: Any) -> bool:
    if is_dataclass(value):
        return False
    items = value.values() if isinstance(value, FrozenMap) else value if isinstance(value, tuple) else ()
    return not any(is_dataclass(item) for item in items)


def _walk(path: str, value: Any) -> Iterator[tuple[str, Value]]:
    if path in NOT_LEAVES:
        return
    if path == "gates" and not value:
        return
    if _is_leaf(value):
        yield path, value
    elif is_dataclass(value):
        for field in dataclass_fields(value):
            yield from _walk(f"{path}.{field.name}", getattr(value, field.name))
    elif isinstance(value, FrozenMap):
        for key, item in value.items():
            yield from _walk(f"{path}.{key}", item)
    else:
        for index, item in enumerate(value):
            yield from _walk(f"{path}.{index}", item)


def _replace(node: Any, path: tuple[str, ...], value: Value) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, FrozenMap):
        return FrozenMap({**node, head: _replace(node[head], rest, value)})
    if isinstance(node, tuple):
        index = int(head)
        return (*node[:index], _replace(node[index], rest, value), *node[index + 1 :])
    return replace(node, **{head: _replace(getattr(node, head), rest, value)})
