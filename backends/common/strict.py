"""JSON objects as frozen dataclasses: an unknown or missing key is an error, never a default."""

import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class BadConfigError(Exception):
    """config.json does not say what these programs read."""


def parse(kind: type[T], value: object, place: str) -> T:
    """`value` as an instance of a frozen dataclass, checked field by field.

    Raises BadConfigError with the place of the first fault.
    """
    assert is_dataclass(kind)
    if not isinstance(value, dict):
        raise BadConfigError(f"{place} is not an object")
    names = {field.name for field in fields(kind)}
    for key in value:
        if key not in names:
            raise BadConfigError(f"{place} has an unknown key {key!r}")
    for name in names:
        if name not in value:
            raise BadConfigError(f"{place} lacks {name!r}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value[name], f"{place}.{name}") for name in names})


def _convert(hint: Any, value: Any, place: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # a Literal | None is of the second kind
        (some,) = (item for item in inner if item is not type(None))
        return None if value is None else _convert(some, value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise BadConfigError(f"{place} is not a list")
        return tuple(_convert(inner[0], item, f"{place}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise BadConfigError(f"{place} is not an object")
        return value
    if origin is typing.Literal:
        if value not in inner or type(value) is bool:
            raise BadConfigError(f"{place} is {value!r:.60}, not one of {', '.join(map(str, inner))}")
        return value
    if is_dataclass(hint):
        return parse(typing.cast("type[Any]", hint), value, place)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise BadConfigError(f"{place} is {value!r:.60}, not of type {hint.__name__}")
    return value
