"""`--set a.b=value`: one value on top of the file, read as YAML.

A list item is named by its index (`data.train.0.path=…`; the index after the last one appends). A
name that holds a dot is put into double quotes. A mapping replaces the whole mapping below the
path; `null` removes the value, as it does in an overlay.
"""

import re
from dataclasses import replace

from ftspec.diagnostics.codes import BAD_OVERRIDE
from ftspec.diagnostics.model import Diagnostics, Span
from ftspec.source.node import Node
from ftspec.source.parse import MAX_DEPTH, parse_yaml
from ftspec.source.text import SourceText

PLACE = "--set"

_SEGMENT = re.compile(r'"([^"]+)"|([^."=]+)')
_EXAMPLE = "for example `--set train.learning_rate=2e-5`"


def apply_override(root: Node, override: str, number: int, found: Diagnostics) -> Node:
    """`root` with the override on top; unchanged where it cannot be followed. `number` counts from 1."""
    source = SourceText(path=PLACE, text=override, first_line=number)
    whole = source.span(0, len(override))
    path = _read_path(override)
    if path is None:
        found.add(BAD_OVERRIDE, f"`{override}` has no `path=value`", primary=whole, help=_EXAMPLE)
        return root
    names, at = path
    if len(names) > MAX_DEPTH:
        found.add(BAD_OVERRIDE, f"the path has more than {MAX_DEPTH} names", primary=whole)
        return root
    if names[0][0] == "extends":
        found.add(
            BAD_OVERRIDE,
            "`extends` is followed before values are set",
            primary=whole,
            help="write it into the spec",
        )
        return root
    value = _read_value(source, override[at:], at, found)
    return root if value is None else _put(root, names, 0, value, found)


def _read_path(override: str) -> tuple[list[tuple[str, int, int]], int] | None:
    """The names with their offsets, and the offset of the value."""
    names: list[tuple[str, int, int]] = []
    at = 0
    while match := _SEGMENT.match(override, at):
        names.append((match[1] or match[2], match.start(), match.end()))
        at = match.end()
        if at < len(override) and override[at] == "=":
            return (names, at + 1) if all(name.strip() == name for name, _, _ in names) else None
        if at >= len(override) or override[at] != ".":
            return None
        at += 1
    return None


def _read_value(source: SourceText, text: str, at: int, found: Diagnostics) -> Node | None:
    faults = Diagnostics()
    if not text.strip():
        found.add(
            BAD_OVERRIDE,
            "no value is given",
            primary=source.span(0, at),
            help="write `null` to take a value away, or `''` for an empty text",
        )
        return None
    node = parse_yaml(SourceText(path=PLACE, text=text), faults)
    if faults.has_errors or node is None:
        detail = faults.items[0].detail if faults.items else "nothing is given"
        found.add(
            BAD_OVERRIDE,
            f"the value is not YAML that a spec may hold: {detail}",
            primary=source.span(at, len(source.text)),
            help="quote it twice: `--set 'a.b=\"text: more\"'`",
        )
        return None
    _move(node, source, at)
    return node


def _move(node: Node, source: SourceText, by: int) -> None:
    node.text, node.start, node.end = source, node.start + by, node.end + by
    if node.key is not None:
        node.key = (node.key[0] + by, node.key[1] + by)
    children = node.value.values() if isinstance(node.value, dict) else node.value
    for child in children if isinstance(node.value, dict | list) else ():  # type: ignore[union-attr]
        assert isinstance(child, Node)
        _move(child, source, by)


def _put(node: Node, names: list[tuple[str, int, int]], depth: int, value: Node, found: Diagnostics) -> Node:
    name, start, end = names[depth]
    is_last = depth == len(names) - 1
    source = value.text
    place = source.span(start, end)
    if isinstance(node.value, list):
        return _put_item(node, names, depth, value, found)
    if not isinstance(node.value, dict):
        _misfit(found, place, names, depth, "is a single value, and has no keys")
        return node
    children = dict(node.value)
    inherited = children.get(name)
    if is_last and value.value is None and inherited is not None:
        del children[name]
    elif is_last:
        children[name] = replace(value, key=(start, end))
    else:
        below = (
            inherited
            if inherited is not None and inherited.value is not None
            else Node(value={}, text=source, start=start, end=start, key=(start, end), flow=False)
        )
        children[name] = _put(below, names, depth + 1, value, found)
    return replace(node, value=children)


def _put_item(
    node: Node, names: list[tuple[str, int, int]], depth: int, value: Node, found: Diagnostics
) -> Node:
    assert isinstance(node.value, list)
    name, start, end = names[depth]
    source = value.text
    place = source.span(start, end)
    items = list(node.value)
    index = int(name) if name.isascii() and name.isdigit() and len(name) < 6 else -1
    if not 0 <= index <= len(items):
        _misfit(found, place, names, depth, f"is a list of {len(items)}: name an item by its index, from 0")
        return node
    if depth == len(names) - 1:
        if index < len(items) and value.value is None:
            del items[index]
        else:
            items[index : index + 1] = [value]
    else:
        below = items[index] if index < len(items) else Node(value={}, text=source, start=start, end=end)
        items[index : index + 1] = [_put(below, names, depth + 1, value, found)]
    return replace(node, value=items)


def _misfit(
    found: Diagnostics, place: Span, names: list[tuple[str, int, int]], depth: int, problem: str
) -> None:
    above = ".".join(name for name, _, _ in names[:depth])
    found.add(BAD_OVERRIDE, f"`{above}` {problem}", primary=place)
