"""Where the fields of a plan go: a backend's own options, and what becomes of values that it does not have."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ftspec.target.features import Devices, Names, Part, Sentence, Support

Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]  # of a plan's leaf; lists for tuples
FieldPath = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$")]
ValueOf = Callable[[str], Any]  # leaf of a plan → its value; None for a leaf that the plan does not have


class Condition(Part):
    """What a plan must look like for something to hold. Without any part it always holds."""

    where: dict[FieldPath, Values] = Field(default_factory=dict)
    """Leaf → values, one of which it must have."""
    unless: dict[FieldPath, Values] = Field(default_factory=dict)
    """Leaf → values, none of which it may have."""

    def holds(self, value_of: ValueOf) -> bool:
        return all(is_among(value_of(path), values) for path, values in self.where.items()) and not any(
            is_among(value_of(path), values) for path, values in self.unless.items()
        )


class FieldCase(Condition):
    """What becomes of a field in a special case; with neither sentence, it is exact there."""

    values: Values | None = None
    """Values of the field itself; left away: all."""
    devices: Devices | None = None
    """Devices where it holds; left away: all."""
    approximated: Sentence | None = None
    """How the lowered value differs from what the plan says."""
    impossible: Sentence | None = None
    """Why the backend cannot do what the plan says."""

    @model_validator(mode="after")
    def _special(self) -> Self:
        if self.values is None and self.devices is None and not self.where and not self.unless:
            raise ValueError("a case needs `values`, `devices`, `where` or `unless`")
        if self.approximated and self.impossible:
            raise ValueError("`approximated` and `impossible` exclude each other")
        return self


class FieldLowering(Part):
    """Where a field of the plan goes. Exactly one of `native`, `ignored` and `impossible` is set."""

    native: Sentence | None = None
    """The backend's own option, e.g. `SentenceTransformerTrainingArguments.learning_rate`. For a backend that
    emits a config file: the dotted name of the option there, or a text with blanks that says what decides."""
    approximated: Sentence | None = None
    """With `native`: how the lowered value differs from what the plan says."""
    ignored: Sentence | None = None
    """Why the backend is not handed the field: it is spent before lowering, or used elsewhere. Where the backend
    ought to act on it and cannot, the field is `impossible`."""
    impossible: Sentence | None = None
    """Why the backend cannot act on the field. A plan that depends on it is refused; a default that does
    is listed. `cases` name the values that ask for nothing, or for what the backend does anyway."""
    cases: Annotated[tuple[FieldCase, ...], Field(strict=False)] = ()
    """Special cases: the first that applies says how well the field is lowered."""
    values: dict[str, dict[str, Any]] | None = None
    """Of an emitted config file: the value, as YAML writes it → the options that it stands for."""
    form: Literal["last_layers"] | None = None
    """Of an emitted config file: how the option is made of the value. last_layers: numbers of the last n."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.native, self.ignored, self.impossible)) != 1:
            raise ValueError("exactly one of `native`, `ignored` and `impossible` is required")
        if self.approximated and self.native is None:
            raise ValueError("`approximated` goes with `native`")
        if self.cases and self.ignored is not None:
            raise ValueError("`cases` go with `native` or `impossible`")
        return self

    def support(self, value: Any, value_of: ValueOf, device: str | None) -> tuple[Support, str] | None:
        """How well the backend does what this field says, and the difference or why not; None where it is not
        handed the field. Null asks for nothing, unless a case names it. Without a `device`, cases of devices
        do not apply."""
        if self.ignored is not None:
            return None
        for case in self.cases:
            if (
                (case.values is None or is_among(value, case.values))
                and (case.devices is None or device in case.devices)
                and case.holds(value_of)
            ):
                return _graded(case.approximated, case.impossible)
        return (Support.FULL, "") if value is None else _graded(self.approximated, self.impossible)


def _graded(approximated: str | None, impossible: str | None) -> tuple[Support, str]:
    if impossible is not None:
        return Support.IMPOSSIBLE, impossible
    return (Support.FULL, "") if approximated is None else (Support.APPROXIMATED, approximated)


def is_among(value: Any, values: Sequence[Any]) -> bool:
    """Whether a leaf has one of the values that a target.yaml lists. Numbers are equal by value; true is not 1."""
    return any(_same(value, each) for each in values)


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, tuple | list) and isinstance(other, tuple | list):
        return len(value) == len(other) and all(map(_same, value, other))
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


class OptionsWhere(Condition):
    """Options of an emitted config file that are no field of a plan."""

    options: dict[str, Any]
    """Dotted option → value."""


class Command(Condition):
    """A command of an emitted run folder."""

    run: Annotated[Names, Field(min_length=1)]
    """Words of the command: `[axolotl, train, axolotl.yml]`."""


class Emission(Part):
    """The config file of a library that is run by its own commands, made from `fields`."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+\.(yml|yaml|json)$")]
    """Its name in the run folder: `axolotl.yml`."""
    options: Annotated[tuple[OptionsWhere, ...], Field(strict=False)] = ()
    """What else stands in it."""
    commands: Annotated[tuple[Command, ...], Field(strict=False, min_length=1)]
    """What the launch script runs, in this order."""
