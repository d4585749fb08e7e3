"""Where in the schema a place of the tree lies."""

from collections.abc import Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ftspec.spec.base import Section
from ftspec.spec.kinds import SPECS

TreePath = Sequence[str | int]


def section_at(path: TreePath, tree: Any) -> type[Section] | None:
    """The section that describes the mapping at `path`; None where there is none, or its `type` is unknown."""
    annotation: Any = SPECS[tree["kind"]]
    value = tree
    for step in path:
        section = _choose(annotation, value)
        if isinstance(step, int):
            annotation = _argument(annotation, list, 0)
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif section is not None and step in section.model_fields:
            annotation = section.model_fields[step].annotation
            value = value.get(step) if isinstance(value, dict) else None
        else:
            annotation = _argument(annotation, dict, 1)
            value = value.get(step) if isinstance(value, dict) else None
        if annotation is None:
            return None
    return _choose(annotation, value)


def types_of(path: TreePath, kind: str) -> dict[str, type[Section]]:
    """The members of the union at `path`, by the `type` that chooses them."""
    annotation: Any = SPECS[kind]
    for step in path:
        if isinstance(step, int):
            annotation = _argument(annotation, list, 0)
        else:
            annotation = _sections(annotation)[0].model_fields[step].annotation
    return {_type_name(section): section for section in _sections(annotation)}


@cache
def key_places(kind: str) -> dict[str, tuple[str, ...]]:
    """Every key of a kind of spec with the dotted places where it may stand."""
    places: dict[str, list[str]] = {}

    def visit(section: type[Section], above: str) -> None:
        for name, field in section.model_fields.items():
            dotted = f"{above}.{name}" if above else name
            if dotted not in places.setdefault(name, []):
                places[name].append(dotted)
            for below in _sections(field.annotation):
                visit(below, dotted)
            for container, index in ((list, 0), (dict, 1)):
                item = _argument(field.annotation, container, index)
                for below in _sections(item) if item is not None else ():
                    visit(below, f"{dotted}[]" if container is list else f"{dotted}.<metric>")

    visit(SPECS[kind], "")
    return {name: tuple(found) for name, found in places.items()}


def literal_values(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal, also inside Optional and Annotated."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return tuple(value for part in get_args(annotation) for value in literal_values(part))
    return ()


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return [section for part in get_args(annotation) for section in _sections(part)]
    return []


def _choose(annotation: Any, value: Any) -> type[Section] | None:
    sections = _sections(annotation)
    if len(sections) <= 1:
        return sections[0] if sections else None
    name = value.get("type") if isinstance(value, dict) else None
    return next((section for section in sections if _type_name(section) == name), None)


def _type_name(section: type[Section]) -> str:
    return str(literal_values(section.model_fields["type"].annotation)[0])


def _argument(annotation: Any, container: type, index: int) -> Any:
    """`int` of `list[int]`, also inside Optional and Annotated."""
    if get_origin(annotation) is container:
        return get_args(annotation)[index]
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for part in get_args(annotation):
            found = _argument(part, container, index)
            if found is not None:
                return found
    return None


def sections_below(section: type[Section]) -> list[type[Section]]:
    """`section` and every section that stands in it, each once."""
    found = [section]
    for above in found:
        for field in above.model_fields.values():
            for part in (
                field.annotation,
                _argument(field.annotation, list, 0),
                _argument(field.annotation, dict, 1),
            ):
                found.extend(below for below in _sections(part) if below not in found)
    return found
