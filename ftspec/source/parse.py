"""YAML text to a tree of nodes, from the parser's events: every fault that lets the text be read on
is collected, and nothing is constructed."""

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from ftspec.diagnostics.codes import DUPLICATE_KEY, NOT_A_MAPPING, NOT_YAML, UNSUPPORTED_YAML
from ftspec.diagnostics.model import Diagnostics, Related, Span
from ftspec.source.node import Node
from ftspec.source.scalars import read_plain_scalar
from ftspec.source.text import SourceText

MAX_DEPTH = 40

_QUOTE_IT = 'put the text into double quotes: "…"'


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open, and the key that waits for its value."""

    node: Node
    key: str | None = None
    key_place: tuple[int, int] | None = None
    skip: bool = False  # the value of a key that was refused is read, and dropped


def parse_yaml(source: SourceText, found: Diagnostics) -> Node | None:
    """The root of the only document in `source`; None when it cannot be read on. Faults go to `found`."""
    try:
        return _build(source, found)
    except ReaderError as error:
        position = int(error.position) if isinstance(error.position, int) else 0
        _report_character(source, position, found)
    except MarkedYAMLError as error:
        _report_syntax(source, error, found)
    except YAMLError as error:
        found.add(NOT_YAML, str(error), primary=source.span(0, 1))
    except (OverflowError, ValueError) as error:  # escapes such as "\UFFFFFFFF", which no character has
        found.add(
            NOT_YAML, f"the text holds an escape that is no character ({error})", primary=source.span(0, 1)
        )
    return None


def _build(source: SourceText, found: Diagnostics) -> Node | None:
    root: Node | None = None
    stack: list[_Frame] = []
    documents = 0
    for event in YAML(typ="safe", pure=True).parse(source.text):
        name = type(event).__name__
        start, end = event.start_mark.index, event.end_mark.index
        if name == "DocumentStartEvent":
            documents += 1
            if documents > 1:
                found.add(
                    NOT_A_MAPPING,
                    "a second document starts here",
                    primary=source.span(start, end),
                    help="keep one document in a file; remove what follows `---`",
                )
                return None
            if event.version is not None and tuple(event.version) != (1, 2):
                _refuse(found, source.span(0, 5), "specs are YAML 1.2", "remove the `%YAML` line")
            continue
        if name in ("MappingEndEvent", "SequenceEndEvent"):
            frame = stack.pop()
            frame.node.end = end
            continue
        if name not in ("ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"):
            continue
        known = _check_features(event, name, source, found)
        parent = stack[-1] if stack else None
        if parent is not None and isinstance(parent.node.value, dict) and parent.key is None:
            if name == "ScalarEvent":
                _take_key(event, known, parent, source, found)
            else:
                is_first, parent.node.known = parent.node.known, False
                parent.key, parent.skip = "", True
                if name != "AliasEvent":
                    if is_first:
                        _refuse(
                            found,
                            source.span(start, end),
                            "a mapping or list is used as a key",
                            "`{{ … }}` and text that starts with `{` or `[` needs quotes",
                        )
                    if not event.flow_style or len(stack) >= MAX_DEPTH:
                        return None
                    stack.append(_Frame(_container(name, source, start, end, event)))
                    stack[-1].node.known = False
            continue
        node = _node(event, name, source, start, end)
        node.known = known and name != "AliasEvent"
        if parent is None:
            root = node
        else:
            _attach(node, parent)
        if isinstance(node.value, dict | list):
            if len(stack) >= MAX_DEPTH:
                found.add(
                    NOT_YAML,
                    f"nested more than {MAX_DEPTH} levels deep",
                    primary=source.span(start, start + 1),
                )
                return None
            stack.append(_Frame(node))
    return root


def _container(name: str, source: SourceText, start: int, end: int, event: Any) -> Node:
    value: dict[str, Node] | list[Node] = {} if name == "MappingStartEvent" else []
    return Node(value=value, text=source, start=start, end=end, flow=bool(event.flow_style))


def _node(event: Any, name: str, source: SourceText, start: int, end: int) -> Node:
    if name == "ScalarEvent":
        value = read_plain_scalar(event.value) if event.implicit[0] else event.value
        return Node(value=value, text=source, start=start, end=end)
    if name == "AliasEvent":
        return Node(value=None, text=source, start=start, end=end)
    return _container(name, source, start, end, event)


def _attach(node: Node, parent: _Frame) -> None:
    if isinstance(parent.node.value, list):
        parent.node.value.append(node)
        return
    assert isinstance(parent.node.value, dict)
    assert parent.key is not None
    node.key = parent.key_place
    if not parent.skip:
        parent.node.value[parent.key] = node
    parent.key, parent.key_place, parent.skip = None, None, False


def _take_key(event: Any, known: bool, parent: _Frame, source: SourceText, found: Diagnostics) -> None:
    assert isinstance(parent.node.value, dict)
    key, place = event.value, (event.start_mark.index, event.end_mark.index)
    parent.key, parent.key_place = key, place
    if key == "<<":
        parent.skip = True
        parent.node.known = False
        _refuse(found, source.span(*place), "`<<` merges another mapping into this one", "write the keys out")
    elif not known:
        parent.skip = True
    elif (first := parent.node.value.get(key)) is not None:
        parent.skip = True
        first_span = first.key_span()
        assert first_span is not None
        found.add(
            DUPLICATE_KEY,
            f"`{key}` stands here again",
            primary=source.span(*place),
            related=(Related(span=first_span, message="first here"),),
            help="keep one of the two",
        )


def _check_features(event: Any, name: str, source: SourceText, found: Diagnostics) -> bool:
    """Reports anchors, aliases, tags and characters that cannot be stored; False if the value is unusable."""
    start, end = event.start_mark.index, event.end_mark.index
    share = "share parts between specs with `extends`, or repeat them"
    if name == "AliasEvent":
        _refuse(found, source.span(start, end), f"`*{event.anchor}` is an alias", share)
        return False
    if event.anchor is not None:
        at = source.text.find("&", start)
        at = start if at < 0 else at
        span = source.span(at, at + 1 + len(event.anchor))
        _refuse(found, span, f"`&{event.anchor}` is an anchor", share)
    if event.ctag is not None:
        at = source.text.find("!", start)
        at = start if at < 0 else at
        width = len(source.text[at:].split(maxsplit=1)[0])
        _refuse(
            found, source.span(at, at + width), "this is a tag", "write the plain value; quotes make it text"
        )
        return False
    if name == "ScalarEvent" and not _join_halves(event):
        found.add(
            NOT_YAML,
            "the escape stands for half a character",
            primary=source.span(start, end),
            help="write the character itself",
        )
        return False
    return True


def _join_halves(event: Any) -> bool:
    """JSON writes a character beyond U+FFFF as two escapes; False where one of them stands alone."""
    if event.value.isascii() or not any("\ud800" <= character <= "\udfff" for character in event.value):
        return True
    try:
        event.value = event.value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(found: Diagnostics, span: Span, detail: str, help: str) -> None:
    found.add(UNSUPPORTED_YAML, detail, primary=span, help=help)


def _report_character(source: SourceText, position: int, found: Diagnostics) -> None:
    character = source.text[position : position + 1]
    shown = f"U+{ord(character):04X}" if character else "a character"
    found.add(
        NOT_YAML,
        f"{shown} is a control character, which YAML does not allow",
        primary=source.span(position, position + 1),
        help='remove it, or write it as an escape in double quotes, e.g. "\\x1b"',
    )


def _report_syntax(source: SourceText, error: MarkedYAMLError, found: Diagnostics) -> None:
    mark = error.problem_mark or error.context_mark
    at = min(mark.index if mark is not None else 0, len(source.text))
    line = source.line_text(source.line_of(at))
    indent = line[: len(line) - len(line.lstrip())]
    problem = (error.problem or error.context or "the text cannot be read").replace(
        "'<stream end>'", "the end"
    )
    related: tuple[Related, ...] = ()
    opened = error.context_mark
    if opened is not None and source.line_of(opened.index) != source.line_of(at):
        related = (Related(span=source.span(opened.index, opened.index + 1), message=f"{error.context}"),)
    if "\t" in indent or (at < len(source.text) and source.text[at] == "\t"):
        tab = source.text.rfind("\t", 0, at + 1)
        tab = at if tab < 0 else tab
        found.add(
            NOT_YAML,
            "a tab stands here, and YAML is indented with spaces only",
            primary=source.span(tab, tab + 1),
            help="replace each tab with two spaces; most editors can do so when they save",
        )
        return
    detail, help = _explain(problem)
    found.add(NOT_YAML, detail, primary=source.span(at, at + 1), related=related, help=help)


def _explain(problem: str) -> tuple[str, str]:
    if "mapping values are not allowed" in problem:
        return (
            "a second `: ` in one line, or a line that is indented too far",
            "a value with `: ` in it needs quotes; keys of one mapping start in the same column",
        )
    if "cannot start any token" in problem:
        character = problem.removeprefix("found character ").removesuffix(" that cannot start any token")
        return f"a value cannot start with {character}", _QUOTE_IT
    if "unexpected end of stream" in problem:
        return (
            "a quote is opened here or above, and never closed",
            "close it, or double it inside single quotes: ''",
        )
    if "<block end>" in problem:
        return "this line fits none of the indentations above", "keys of one mapping start in the same column"
    if "unknown escape" in problem:
        return problem, "in double quotes a backslash starts an escape: write \\\\, or use single quotes"
    if "could not find expected ':'" in problem:
        return "a key without `:`", "write `key: value`"
    if "expected ',' or" in problem or "found the end" in problem:
        return problem, "close every `[` and `{`; text that holds one needs quotes"
    return problem, ""
