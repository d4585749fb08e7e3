"""Every key that a spec may hold, read off the types of the spec."""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ftspec.spec.base import Section
from ftspec.spec.kinds import SPECS


def spec_leaves(section: type[Section], path: str = "") -> Iterator[str]:
    """Paths of all keys that a spec may hold. Tags, which have one value, are no choice. The type of a source,
    an objective or an adapter stands in brackets: `data.train[file].path`."""
    for name, field in section.model_fields.items():
        here = f"{path}.{name}" if path else name
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            continue
        if here == "data.evaluation":  # the same sources as of data.train
            yield here
            continue
        below = list(_sections(field.annotation))
        if not below:
            yield here
        for item in below:
            star = ".*" if get_origin(field.annotation) is dict else ""
            tag = item.model_fields.get("type")
            kind = "" if tag is None else f"[{get_args(tag.annotation)[0]}]"
            yield from spec_leaves(item, f"{here}{star}{kind}")


def rule_paths(kind: str) -> set[str]:
    """What a table of rules has to know: every leaf, every section that can be left away, every choice."""
    paths = {"kind"}
    for leaf in spec_leaves(SPECS[kind]):
        paths.update(rules_of_leaf(leaf))
    for path in _optional(SPECS[kind], ""):
        paths.update(rules_of_leaf(path))
    return paths


def rules_of_leaf(leaf: str) -> Iterator[str]:
    if leaf == "data.evaluation":
        yield leaf
        return
    leaf = re.sub(r"\.examples\.\w+$", ".examples", leaf)  # a list is compared whole
    path = re.sub(r"\[\w+\]", "", leaf.replace("data.train[", "data.train.*["))
    yield path
    if path.startswith("data.train.*"):
        yield path.replace("data.train.", "data.evaluation.", 1)


def _optional(section: type[Section], path: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        here = f"{path}.{name}" if path else name
        below = list(_sections(field.annotation))
        tagged = [item for item in below if _is_tagged(item)]
        is_list = get_origin(field.annotation) is list
        if here == "data.evaluation":
            continue
        if below and is_list and len(tagged) == len(below):
            yield f"{here}.*"  # one of another type is another source
        elif tagged:
            yield f"{here}.type"
        elif below and get_origin(field.annotation) is dict:
            yield f"{here}.*"
        elif below and (NoneType in get_args(field.annotation) or is_list):
            yield here
        for item in below:
            star = ".*" if get_origin(field.annotation) is dict or (is_list and here == "data.train") else ""
            yield from _optional(item, f"{here}{star}")


def _is_tagged(section: type[Section]) -> bool:
    """Is it one of several forms, told by its `type`?"""
    return "type" in section.model_fields and len(get_args(section.model_fields["type"].annotation)) == 1


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _sections(part)
