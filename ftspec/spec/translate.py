"""Errors of pydantic become diagnostics with a place, in the words of the spec."""

import math
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from ftspec.diagnostics.code import Code
from ftspec.diagnostics.codes import BAD_VALUE, MISSING_KEY, UNKNOWN_KEY, WRONG_TYPE
from ftspec.diagnostics.model import Diagnostic
from ftspec.source.document import Document
from ftspec.spec.fields import key_places, literal_values, section_at, types_of
from ftspec.spec.foreign import find_foreign
from ftspec.spec.kinds import SPECS
from ftspec.spec.suggest import listed, nearest, shorten

Path = tuple[str | int, ...]

MOST_HELPED = 100  # a search for the key that was meant takes a while; a file with more faults is no spec

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    error: ErrorDetails
    path: Path  # in the tree
    branch: Path | None  # of the value of which this is one reading among several


def translate(errors: list[ErrorDetails], tree: dict[str, Any], document: Document) -> list[Diagnostic]:
    """One diagnostic for each fault; none below a place that could not be read."""
    faults = [_locate(error, tree) for error in errors]
    found: list[Diagnostic] = []
    branches: dict[Path, list[_Fault]] = {}
    for fault in faults:
        above = fault.path if document.has(fault.path) else fault.path[:-1]
        if not document.is_known(above):
            continue
        if fault.branch is not None:
            branches.setdefault(fault.branch, []).append(fault)
        else:
            found.append(_diagnose(fault, tree, document, helpful=len(found) < MOST_HELPED))
    found.extend(_one_of(group, tree, document) for group in branches.values())
    return found


def is_union(path: Path) -> bool:
    """Do the keys at `path` depend on a `type`?"""
    if path == ("train", "objective"):
        return True
    return len(path) == 3 and path[0] == "data" and path[1] in ("train", "evaluation")


def _locate(error: ErrorDetails, tree: dict[str, Any]) -> _Fault:
    """Drops what pydantic puts between the steps: the tag of a union, the name of one of its readings."""
    path: Path = ()
    branch: Path | None = None
    value: Any = tree
    tagged = False
    location = error["loc"]
    for index, step in enumerate(location):
        if is_union(path) and not tagged:
            tagged = True
            continue
        is_last = index == len(location) - 1
        if (
            isinstance(value, dict)
            and isinstance(step, str)
            and (step in value or (is_last and error["type"] == "missing"))
        ):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            branch = path if branch is None else branch
            continue
        path, tagged = (*path, step), False
    return _Fault(error, path, branch)


def dotted(path: Path) -> str:
    """`data.train[0].path`"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return shorten(text, 80) or "the spec"


def describe(value: Any) -> str:
    """What YAML read."""
    if value is None:
        return "nothing (`null`)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return f"the whole number `{value}`"
    if isinstance(value, float):
        return f"the number `{value}`"
    if isinstance(value, str):
        return f"the text `{shorten(value)}`" if value else "empty text"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "a mapping"


def _diagnose(fault: _Fault, tree: dict[str, Any], document: Document, *, helpful: bool = True) -> Diagnostic:
    kind = fault.error["type"]
    path = fault.path
    if kind == "missing":
        return _missing(path, tree, document)
    if kind == "extra_forbidden":
        return _unknown_key(path, tree, document, helpful=helpful)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _bad_tag(path, tree, document)
    if kind in _EXPECTED:
        return _wrong_type(path, _EXPECTED[kind], tree, document)
    if kind == "literal_error":
        return _bad_literal(path, tree, document)
    return _bad_value(fault, tree, document)


def _missing(path: Path, tree: dict[str, Any], document: Document) -> Diagnostic:
    section = section_at(path[:-1], tree)
    name = str(path[-1])
    help = f"add `{name}:`"
    if section is not None and name in section.model_fields:
        values = literal_values(section.model_fields[name].annotation)
        if values:
            help = f"add `{name}:` with {listed(values)}"
    extra = [
        key for key in _value_at(tree, path[:-1]) if section is not None and key not in section.model_fields
    ]
    if (near := nearest(name, extra)) is not None:
        help += f"; is `{near}` meant to be it?"
    return _at(document, MISSING_KEY, path[:-1], f"`{dotted(path)}` is missing", help, key=True)


def _unknown_key(path: Path, tree: dict[str, Any], document: Document, *, helpful: bool) -> Diagnostic:
    name = str(path[-1])
    where = path[:-1]
    section = section_at(where, tree)
    assert section is not None
    here = [key for key in section.model_fields if not document.has((*where, key))]
    shown = shorten(name, 40)
    detail = f"`{shown}` is not a key of `{dotted(where)}`" if where else f"`{shown}` is not a key of a spec"
    if is_union(where):
        owners = [
            type_ for type_, other in types_of(where, tree["kind"]).items() if name in other.model_fields
        ]
        chosen = _value_at(tree, where).get("type")
        if owners:
            detail = f"`{shown}` is not a key of `{dotted(where)}` of type `{chosen}`"
            return _at(document, UNKNOWN_KEY, path, detail, f"it belongs to type {listed(owners)}", key=True)
    if not helpful:
        return _at(document, UNKNOWN_KEY, path, detail, "", key=True)
    return _at(
        document,
        UNKNOWN_KEY,
        path,
        detail,
        _key_help(name, where, here, list(section.model_fields), tree["kind"]),
        key=True,
    )


def _key_help(name: str, where: Path, here: list[str], keys: list[str], kind: str) -> str:
    places = key_places(kind)
    folded = nearest(name, [key for key in here if key.lower() == name.lower().replace("-", "_")])
    if folded:
        return f"did you mean `{folded}`?"
    if (foreign := find_foreign(name, kind)) is not None:
        return foreign.sentence(name)
    if near := nearest(name, here):
        return f"did you mean `{near}`?"
    if name in places:
        return f"`{name}` stands at {listed(places[name])}"
    if near := nearest(name, keys):
        return f"did you mean `{near}`? It is there already"
    if (near := nearest(name, places)) and len(places[near]) == 1:
        return f"did you mean `{places[near][0]}`?"
    for other in SPECS:
        if name in key_places(other):
            return f"it is a key of kind {other}, at {listed(key_places(other)[name])}"
    of = f"`{dotted(where)}`" if where else "a spec"
    return f"the keys of {of} are {listed(keys, 'and')}"


def _bad_tag(path: Path, tree: dict[str, Any], document: Document) -> Diagnostic:
    known = list(types_of(path, tree["kind"]))
    value = _value_at(tree, path)
    if "type" not in value:
        help = f"add `type:` with {listed(known)}"
        return _at(document, MISSING_KEY, path, f"`{dotted(path)}.type` is missing", help, key=True)
    return _not_among((*path, "type"), value["type"], known, document)


def _bad_literal(path: Path, tree: dict[str, Any], document: Document) -> Diagnostic:
    section = section_at(path[:-1], tree)
    field = section.model_fields.get(str(path[-1])) if section is not None else None
    known = list(literal_values(field.annotation)) if field is not None else []
    return _not_among(path, _value_at(tree, path), known, document)


def _not_among(path: Path, value: Any, known: list[Any], document: Document) -> Diagnostic:
    near = nearest(value, [str(word) for word in known]) if isinstance(value, str) else None
    help = f"did you mean `{near}`?" if near else ""
    if isinstance(value, bool):
        help = "YAML read a truth value; put the word into quotes if you mean text"
    detail = f"`{dotted(path)}` is one of {listed(known)}; this is {describe(value)}"
    return _at(document, BAD_VALUE, path, detail, help)


def _wrong_type(path: Path, expected: str, tree: dict[str, Any], document: Document) -> Diagnostic:
    value = _value_at(tree, path)
    detail = f"`{dotted(path)}` needs {expected}; this is {describe(value)}"
    return _at(document, WRONG_TYPE, path, detail, _type_help(path, expected, value, tree["kind"]))


def _type_help(path: Path, expected: str, value: Any, kind: str) -> str:
    if value is None:
        return "give a value, or remove the key"
    if expected.startswith("text") and isinstance(value, bool | int | float):
        text = f'"{str(value).lower() if isinstance(value, bool) else value}"'
        return f"quote it: `{text}`" if isinstance(path[-1], int) else f"quote it: `{path[-1]}: {text}`"
    if "a list" in expected and isinstance(value, str | int | float) and not isinstance(path[-1], int):
        return f"write `{path[-1]}: [{shorten(str(value), 30)}]`"
    if expected == "`true` or `false`" and isinstance(value, str):
        words = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
        meant = words.get(value.lower()) or {"true": "true", "false": "false"}.get(value.lower())
        return f"write `{meant}`; YAML 1.2 reads `yes`, `no`, `on` and `off` as text" if meant else ""
    if expected == "a mapping" and isinstance(value, str) and is_union(path):
        known = types_of(path, kind)
        type_ = value if value in known else nearest(value, known) or next(iter(known))
        return (
            f"write `{path[-1]}: {{type: {type_}}}`"
            if isinstance(path[-1], str)
            else f"write `- type: {type_}`"
        )
    if expected == "a mapping" and path[:1] == ("gates",) and isinstance(value, int | float):
        return f"write `{{min: {value}}}` for a lower bound"
    if "number" in expected and isinstance(value, str):
        return _number_help(value)
    if expected == "a whole number" and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"write `{int(value)}`"
    return ""


def _number_help(text: str) -> str:
    plain = text.replace("_", "").replace(",", "").strip()
    try:
        if not math.isfinite(float(plain)):
            return "give a number"
    except ValueError:
        return ""
    if plain != text:
        return f"write `{plain}`: numbers have no `_` or `,` between their digits"
    return "remove the quotes"


_EMPTY_LISTS = {
    "target_modules": "write `all-linear`, or names of linear layers such as `[q_proj, v_proj]`; without this key "
    "all linear layers get an adapter",
}


def _bad_value(fault: _Fault, tree: dict[str, Any], document: Document) -> Diagnostic:
    error, path = fault.error, fault.path
    bounds = error.get("ctx", {})
    value = _value_at(tree, path)
    help = ""
    match error["type"]:
        case "greater_than":
            need = f"above {bounds['gt']:g}"
        case "greater_than_equal":
            need = f"at least {bounds['ge']:g}"
        case "less_than":
            need = f"below {bounds['lt']:g}"
        case "less_than_equal":
            need = f"at most {bounds['le']:g}"
        case "finite_number":
            need = "a finite number"
        case "string_too_short":
            need = "text that is not empty"
        case "too_short":
            need = "a list that is not empty"
            help = _EMPTY_LISTS.get(str(path[-1]), "")
        case "string_pattern_mismatch" if path == ("metadata", "name"):
            need = "a name of at most 63 lower-case letters, digits, `.`, `_` and `-`, starting with a letter or digit"
            help = "the name becomes a folder and a model's address"
        case "string_pattern_mismatch" if path == ("resources", "limits", "memory"):
            need, help = "a number and a unit", "write e.g. `8GiB`, `512MiB` or `8GB`"
        case _:
            need = error["msg"].removeprefix("Input should be ")
    return _at(document, BAD_VALUE, path, f"`{dotted(path)}` must be {need}; this is {describe(value)}", help)


def _one_of(group: list[_Fault], tree: dict[str, Any], document: Document) -> Diagnostic:
    """A value that may be read in several ways, and fits none: the deepest fault is the one that was meant."""
    deepest = max(len(fault.path) for fault in group)
    at = [fault for fault in group if len(fault.path) == deepest]
    expected = list(
        dict.fromkeys(_EXPECTED[fault.error["type"]] for fault in at if fault.error["type"] in _EXPECTED)
    )
    values = [
        fault
        for fault in at
        if fault.error["type"] not in _EXPECTED and fault.error["type"] != "literal_error"
    ]
    if values:
        return _diagnose(values[0], tree, document)
    if len(expected) == 1 and len(at) == 1:
        return _diagnose(at[0], tree, document)
    literals = [fault for fault in at if fault.error["type"] == "literal_error"]
    words = [f"`{word}`" for word in _literals_of(literals, tree)] + expected
    return _wrong_type(at[0].path, " or ".join(words), tree, document)


def _literals_of(faults: list[_Fault], tree: dict[str, Any]) -> list[str]:
    for fault in faults:
        section = section_at(fault.path[:-1], tree)
        if section is not None and str(fault.path[-1]) in section.model_fields:
            return [
                str(value) for value in literal_values(section.model_fields[str(fault.path[-1])].annotation)
            ]
    return []


def _value_at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _at(
    document: Document, code: Code, path: Path, detail: str, help: str, *, key: bool = False
) -> Diagnostic:
    return Diagnostic(code=code, detail=detail, primary=document.span(path, key=key), help=help)
