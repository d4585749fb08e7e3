"""A document becomes a spec, or a list of all that is wrong with it."""

from ftspec.diagnostics.codes import MISSING_KEY, UNKNOWN_KIND
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.source.document import Document
from ftspec.spec import references, rules, rules_synth
from ftspec.spec.kinds import SPECS, AnySpec
from ftspec.spec.parts import read_parts
from ftspec.spec.suggest import listed, nearest, shorten
from ftspec.spec.translate import translate

API_VERSIONS = ("ftspec/v1",)
KINDS = tuple(SPECS)


def check_spec(document: Document) -> tuple[AnySpec | None, Diagnostics]:
    """The spec, when the document has no fault at all; and every fault that can be seen, in the order of
    the text. Rules that span sections are checked wherever the sections that they read could be read."""
    found = Diagnostics()
    tree = dict(document.tree)
    kind = _check_head(document, found)
    if kind is None:
        return None, found
    tree["apiVersion"], tree["kind"] = API_VERSIONS[0], kind
    spec, errors = read_parts(tree)
    found.extend(translate(errors, tree, document))
    rules.check(spec, document, found)
    references.check(document, found)
    rules_synth.check(document, found)
    _sort(found)
    if found.has_errors or document.damaged:
        return None, found
    assert spec.whole is not None
    return spec.whole, found


def _check_head(document: Document, found: Diagnostics) -> str | None:
    """apiVersion and kind; the kind that the rest is judged as, None where it is another kind of file."""
    kind: str | None = _likely_kind(document)
    for name, known in (("apiVersion", API_VERSIONS), ("kind", KINDS)):
        if not document.is_known((name,)):
            continue
        if not document.has((name,)):
            found.add(
                MISSING_KEY,
                f"`{name}` is missing",
                primary=document.span(()),
                help=f"add `{name}: {known[0]}`",
            )
            continue
        value = document.tree[name]
        if isinstance(value, str) and value in known:
            kind = value if name == "kind" else kind
            continue
        near = nearest(value, known) if isinstance(value, str) else None
        help = f"did you mean `{near}`?" if near else f"write `{name}: {known[0]}`"
        shown = f"`{shorten(str(value))}` is not" if not isinstance(value, dict | list) else "this is not"
        found.add(
            UNKNOWN_KIND,
            f"{shown} {'a kind' if name == 'kind' else 'a version'} that is known here: {listed(known)}",
            primary=document.span((name,)),
            help=help,
        )
        if name == "kind":
            kind = near
    return kind


def _likely_kind(document: Document) -> str:
    """Where none is written: an `adapter` section, or a source that only language models are trained on."""
    data = document.tree.get("data")
    sources = data.get("train") if isinstance(data, dict) else None
    types = (
        [each.get("type") for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    )
    is_text = any(name in types for name in ("chat", "completion", "raft"))
    return "LLM" if "adapter" in document.tree or is_text else KINDS[0]


def _sort(found: Diagnostics) -> None:
    """By place: first the file, in the order of its `--set`s and overlays, then line and column."""

    def place(item: Diagnostic) -> tuple[str, int, int]:
        return (item.primary.path, item.primary.line, item.primary.column) if item.primary else ("", 0, 0)

    found.items.sort(key=place)
