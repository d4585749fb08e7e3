"""The config file and the commands of a backend that is run by its own command line, made from its target.yaml.

Nothing here knows a library: what a field of the plan is called there, and what its values stand for, is data.
"""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from ftspec.plan.codec import canonical_json
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Value
from ftspec.target.fields import FieldLowering
from ftspec.target.model import Target

_OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")  # a `native` that names one
_LEAF = re.compile(r"\{([a-z][a-z0-9_.]*)\}")  # in the words of a command


def emitted_file(plan: Plan, target: Target) -> dict[str, str]:
    """Name → text of the config file; empty for a backend that emits none."""
    if target.emit is None:
        return {}
    options = emitted_options(plan, target)
    text = canonical_json(options) + "\n" if target.emit.file.endswith(".json") else _yaml(options)
    return {target.emit.file: text}


def emitted_options(plan: Plan, target: Target) -> dict[str, Any]:
    """The content of the config file: fixed options first, then those of the leaves in their order. What is
    null in the plan is left out. The plan must be one that `unemitted_fields` finds nothing in."""
    assert target.emit is not None
    values = dict(leaves(plan))
    flat: dict[str, Any] = {}
    for fixed in target.emit.options:
        if fixed.holds(values.get):
            flat |= fixed.options
    for field, value in values.items():
        lowering = target.lowering_of(field)
        if lowering is not None and value is not None:
            flat |= _options_of(lowering, value, plan)
    return _nested({option: value for option, value in flat.items() if value is not None})


def unemitted_fields(plan: Plan, target: Target) -> list[str]:
    """Leaves whose value the target does not name among the `values` of the field."""
    if target.emit is None:
        return []
    return [
        field
        for field, value in leaves(plan)
        if value is not None
        and (lowering := target.lowering_of(field)) is not None
        and lowering.values is not None
        and _key(value) not in lowering.values
    ]


def emitted_commands(plan: Plan, target: Target) -> list[list[str]]:
    """The words of each command that the launch script runs; `{execution.num_processes}` is that leaf."""
    if target.emit is None:
        return []
    values = dict(leaves(plan))

    def filled(word: str) -> str:
        return _LEAF.sub(lambda found: _key(values[found[1]]), word)

    return [
        [filled(word) for word in command.run]
        for command in target.emit.commands
        if command.holds(values.get)
    ]


def _options_of(lowering: FieldLowering, value: Value, plan: Plan) -> Mapping[str, Any]:
    if lowering.values is not None:
        return lowering.values[_key(value)]
    if lowering.native is None or _OPTION.fullmatch(lowering.native) is None:
        return {}
    made = _plain(value) if lowering.form is None else _FORMS[lowering.form](value, plan)
    return {lowering.native: made}


def _last_layers(value: Value, plan: Plan) -> list[int]:
    assert isinstance(value, int)
    count = plan.model.facts.num_layers
    return list(range(count - value, count))


_FORMS: Mapping[str, Callable[[Value, Plan], Any]] = {"last_layers": _last_layers}


def _plain(value: Value) -> Any:
    if isinstance(value, FrozenMap):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _key(value: Value) -> str:
    """A value as the keys of `values` write it: text as it is, anything else as YAML does."""
    return value if isinstance(value, str) else canonical_json(_plain(value))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted options as mappings of mappings. Raises AssertionError when one is both an option and a section."""
    tree: dict[str, Any] = {}
    for option, value in flat.items():
        *above, last = option.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
            assert isinstance(node, dict), f"{option} lies below an option that has a value"
        node[last] = value
    return tree


def _yaml(options: Mapping[str, Any]) -> str:
    """YAML that readers of 1.1 and 1.2 read alike: `off` and `1.0e-05` are not left to chance."""
    from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.allow_unicode = True
    writer.version = (1, 1)
    text = io.StringIO()
    writer.dump(dict(options), text)
    return text.getvalue().removeprefix("%YAML 1.1\n---\n")
