"""An immutable, hashable mapping for the leaves of the plan, serialised as a JSON object."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

V = TypeVar("V")


class FrozenMap(Mapping[str, V], Generic[V]):
    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | None = None, /) -> None:
        object.__setattr__(self, "_items", dict(sorted((items or {}).items())))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("FrozenMap cannot be changed")

    def __getitem__(self, key: str) -> V:
        return self._items[key]  # type: ignore[no-any-return,attr-defined]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"FrozenMap({dict(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (value_type,) = getattr(source, "__args__", (Any,))
        as_dict = core_schema.dict_schema(core_schema.str_schema(), handler(value_type))
        return core_schema.no_info_after_validator_function(
            cls,
            as_dict,
            serialization=core_schema.plain_serializer_function_ser_schema(dict, return_schema=as_dict),
        )
