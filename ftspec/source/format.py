"""`ftspec fmt`: one way to write a spec. Comments stay; no value changes."""

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ftspec.diagnostics.model import Diagnostics
from ftspec.source.node import Node
from ftspec.source.parse import parse_yaml
from ftspec.source.text import SourceText

TOP_ORDER = (
    "apiVersion", "kind", "extends", "metadata", "model", "adapter", "data", "train", "evaluation", "gates", "resources", "export",
)  # fmt: skip
_WIDTH = 100_000  # long lines are not folded: folding moves text between lines in reviews


def format_text(text: str) -> str:
    """The text in its canonical form: top-level keys in the order of the schema, two spaces, lists
    indented, one newline at the end. Comments before the first key (such as an editor's modeline) stay
    there; other comments stay with what follows them. Idempotent. Text that is no block mapping, that has
    faults, or that would not come back with the same values is returned as it is.
    """
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
    before = _read(plain)
    if before is None:
        return text
    formatted = _indented(_reordered(plain, before))
    after = _read(formatted)
    if after is None or _exact(after.plain()) != _exact(before.plain()):
        return text
    return formatted


def _read(text: str) -> Node | None:
    found = Diagnostics()
    node = parse_yaml(SourceText(path="", text=text), found)
    if node is None or found.has_errors or node.flow or not isinstance(node.value, dict) or not node.value:
        return None
    return node


def _exact(value: Any) -> Any:
    """Equal only if the types are too: 1 is not 1.0, and nan is itself."""
    if isinstance(value, dict):
        return {name: _exact(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_exact(child) for child in value]
    return f"{type(value).__name__}:{value!r}"


def _reordered(text: str, root: Node) -> str:
    """Moves whole top-level blocks, each with the comment lines right above it."""
    assert isinstance(root.value, dict)
    starts: list[tuple[str, int]] = []
    for name, node in root.value.items():
        assert node.key is not None
        start = text.rfind("\n", 0, node.key[0]) + 1
        while starts and (above := text.rfind("\n", 0, start - 1) + 1) > starts[-1][1]:
            if not text.startswith("#", above):
                break
            start = above
        starts.append((name, start))
    head = "".join(line for line in text[: starts[0][1]].splitlines(keepends=True) if line.rstrip() != "---")
    end = len(text.rstrip())
    while text.startswith("#", line := text.rfind("\n", 0, end) + 1) and line > starts[-1][1]:
        end = len(text[:line].rstrip())
    end = text.find("\n", end) + 1 or len(text)
    ends = [start for _, start in starts[1:]] + [end]
    blocks = [(name, text[start:end]) for (name, start), end in zip(starts, ends, strict=True)]
    order = {name: place for place, name in enumerate(TOP_ORDER)}
    blocks.sort(key=lambda block: order.get(block[0], len(order)))
    return head + "".join(block if block.endswith("\n") else block + "\n" for _, block in blocks) + text[end:]


def _indented(text: str) -> str:
    """Through the nodes of ruamel, which keep comments, quotes and the text of every scalar."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = _WIDTH
    out = io.StringIO()
    try:
        yaml.serialize(yaml.compose(text), out)
    except YAMLError:
        return text
    return _aligned(out.getvalue()).rstrip() + "\n"


def _aligned(text: str) -> str:
    """Comment lines follow the indentation of the lines around them."""
    root = _read(text)
    if root is None:
        return text
    lines = text.split("\n")
    inside: set[int] = set()
    _text_lines(root, inside)
    is_comment = [line.lstrip().startswith("#") and number not in inside for number, line in enumerate(lines)]
    indents = [
        len(line) - len(line.lstrip())
        if line.strip() and not is_comment[number] and number not in inside
        else None
        for number, line in enumerate(lines)
    ]
    for number, line in enumerate(lines):
        if not is_comment[number]:
            continue
        above = next((indent for indent in reversed(indents[:number]) if indent is not None), 0)
        below = next((indent for indent in indents[number:] if indent is not None), 0)
        column = len(line) - len(line.lstrip())
        if column not in (above, below):
            column = max(above, below) if column > max(above, below) else below
        lines[number] = " " * column + line.lstrip()
    return "\n".join(lines)


def _text_lines(node: Node, lines: set[int]) -> None:
    """Adds the lines after the first one of each text that spans several."""
    if isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            _text_lines(child, lines)
    elif isinstance(node.value, str) and node.end > node.start:
        end = node.start + len(node.text.text[node.start : node.end].rstrip())
        lines.update(range(node.text.line_of(node.start) + 1, node.text.line_of(end) + 1))
