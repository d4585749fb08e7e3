"""`extends`: a spec takes the values of other files and states what differs.

Mappings are merged key by key; lists and scalars are replaced; `null` removes what was inherited.
Later files of the list win over earlier ones, and the file itself wins over all.

Relative paths, wherever they were written, are relative to the folder of the spec that is given to
the command, not of the file they stand in: so one can tell from the spec alone where data is.
`extends` itself is relative to the file that it stands in.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftspec.diagnostics.codes import BAD_OVERLAY, FILE_NOT_READABLE, MERGE_CONFLICT, NOT_A_MAPPING
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.source.node import Node
from ftspec.source.parse import parse_yaml
from ftspec.source.text import SourceText

MAX_BYTES = 400_000

TextOf = Callable[[Path], tuple[str | None, str]]

_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7})( .*)?$", re.MULTILINE)


@dataclass(slots=True)
class Reader:
    """Reads files once each, and follows `extends`. `text_of` and `label` serve files of another time: `label`
    stands before their paths in messages."""

    found: Diagnostics
    text_of: TextOf
    label: str = ""
    read: dict[Path, Node | None] = field(default_factory=dict)

    def spec(self, path: Path) -> Node | None:
        """The merged tree of the file at `path`."""
        text, problem = self.text_of(path)
        if text is None:
            self.found.add(FILE_NOT_READABLE, f"`{self.label}{path}` {problem}")
            return None
        return self._merged(path, text, (path.resolve(),))

    def _merged(self, path: Path, text: str, chain: tuple[Path, ...]) -> Node | None:
        source = SourceText(path=self.label + _shown(path), text=text)
        if self._in_conflict(source):
            return None
        root = parse_yaml(source, self.found)
        if root is None:
            if not any(item.is_error for item in self.found):
                self._not_a_mapping(source, None)
            return None
        if not isinstance(root.value, dict):
            if root.known:
                self._not_a_mapping(source, root)
            return None
        extends = root.value.pop("extends", None)
        if extends is None:
            return root
        bases = self._bases(extends, path, chain)
        if bases is None:
            return None
        merged: Node | None = None
        for base in bases:
            merged = base if merged is None else merge(merged, base)
        return root if merged is None else merge(merged, root)

    def _bases(self, extends: Node, path: Path, chain: tuple[Path, ...]) -> list[Node] | None:
        names = extends.value if isinstance(extends.value, list) else [extends]
        if extends.value == [] or not all(isinstance(item.value, str) and item.value for item in names):
            wrong = next(
                (item for item in names if not (isinstance(item.value, str) and item.value)), extends
            )
            self.found.add(
                BAD_OVERLAY,
                "a file name, or a list of file names, is needed",
                primary=wrong.span(),
                help="write `extends: base.yaml`",
            )
            return None
        bases = [self._base(item, path, chain) for item in names]
        complete = [base for base in bases if base is not None]
        return complete if len(complete) == len(bases) else None

    def _base(self, item: Node, path: Path, chain: tuple[Path, ...]) -> Node | None:
        assert isinstance(item.value, str)
        target = path.parent / item.value
        try:
            resolved = target.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            self.found.add(BAD_OVERLAY, f"`{item.value}` cannot be read: {error}", primary=item.span())
            return None
        if resolved in chain:
            files = " → ".join(place.name for place in (*chain[chain.index(resolved) :], resolved))
            self.found.add(BAD_OVERLAY, f"the files extend each other: {files}", primary=item.span())
            return None
        if resolved not in self.read:
            text, problem = self.text_of(target)
            if text is None:
                self.found.add(
                    BAD_OVERLAY,
                    f"`{item.value}` {problem}",
                    primary=item.span(),
                    help="the name is relative to the file that extends it",
                )
                return None
            before = len(self.found)
            self.read[resolved] = self._merged(target, text, (*chain, resolved))
            self._mention(item, before)
        return self.read[resolved]

    def _in_conflict(self, source: SourceText) -> bool:
        """At the start of a line no spec holds what git writes where a merge was left open."""
        marks = [*_CONFLICT.finditer(source.text)]
        if not marks:
            return False
        first = marks[0]
        self.found.add(
            MERGE_CONFLICT,
            f"`{first[1]}` at line {source.line_of(first.start()) + 1}",
            primary=source.span(*first.span()),
            help="keep one side, and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`",
        )
        return True

    def _mention(self, item: Node, before: int) -> None:
        """Faults of an inherited file also say who inherits it."""
        related = Related(span=item.span(), message="extended from here")
        for index in range(before, len(self.found)):
            finding = self.found.items[index]
            self.found.items[index] = replace(finding, related=(*finding.related, related))

    def _not_a_mapping(self, source: SourceText, root: Node | None) -> None:
        help = "start with `apiVersion: ftspec/v1`; `ftspec init` writes an example"
        if root is None or (root.value is None and root.start == root.end):
            self.found.add(NOT_A_MAPPING, f"`{source.path}` is empty", help=help)
        else:
            what = "a list" if isinstance(root.value, list) else "a single value"
            span = source.span(root.start, root.end if not isinstance(root.value, list) else root.start + 1)
            self.found.add(NOT_A_MAPPING, f"this is {what}", primary=span, help=help)


def merge(base: Node, over: Node) -> Node:
    """`over` on top of `base`; neither is changed."""
    assert isinstance(base.value, dict)
    assert isinstance(over.value, dict)
    children = dict(base.value)
    for name, node in over.value.items():
        inherited = children.get(name)
        if inherited is not None and node.value is None and node.known:
            del children[name]
        elif inherited is not None and isinstance(inherited.value, dict) and isinstance(node.value, dict):
            children[name] = merge(inherited, node)
        else:
            children[name] = node
    return Node(
        value=children,
        text=over.text,
        start=over.start,
        end=over.end,
        key=over.key,
        key_text=over.key_text,
        flow=over.flow,
        known=base.known and over.known,
    )


def read_text(path: Path) -> tuple[str | None, str]:
    """The text of a file and an empty word, or None and what is wrong with it."""
    try:
        if path.is_dir():
            return None, "is a folder"
        if path.stat().st_size > MAX_BYTES:
            return None, f"is larger than {MAX_BYTES:,} bytes, which no spec is"
        raw = path.read_bytes()
    except FileNotFoundError:
        return None, "does not exist"
    except PermissionError:
        return None, "may not be read by this user"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return None, f"cannot be read: {reason}"
    if len(raw) > MAX_BYTES:  # a pipe or a device tells no size beforehand
        return None, f"is larger than {MAX_BYTES:,} bytes, which no spec is"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, f"is not UTF-8 text: byte 0x{raw[error.start]:02x} in line {line}"


def _shown(path: Path) -> str:
    return os.path.normpath(path) if ".." in path.parts else str(path)
