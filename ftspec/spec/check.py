"""A document becomes a spec, or a list of all that is wrong with it."""

from ftspec.diagnostics.codes import MISSING_KEY, UNKNOWN_KIND
from ftspec.diagnostics.model import Diagnostic, Diagnostics
from ftspec.source.document import Document
from ftspec.spec import references, rules
from ftspec.spec.parts import Parts
from ftspec.spec.spec import EmbeddingSpec
from ftspec.spec.suggest import listed, nearest, shorten
from ftspec.spec.translate import translate

API_VERSIONS = ("ftspec/v1",)
KINDS = ("Embedding",)


def check_spec(document: Document) -> tuple[EmbeddingSpec | None, Diagnostics]:
    """The spec, when the document has no fault at all; and every fault that can be seen, in the order of
    the text. Rules that span sections are checked wherever the sections that they read could be read."""
    found = Diagnostics()
    tree = dict(document.tree)
    goes_on = _check_head(document, found)
    if not goes_on:
        return None, found
    tree["apiVersion"], tree["kind"] = API_VERSIONS[0], KINDS[0]
    spec, errors = Parts.read(tree)
    found.extend(translate(errors, tree, document))
    rules.check(spec, document, found)
    references.check(document, found)
    _sort(found)
    if found.has_errors or document.damaged:
        return None, found
    assert spec.whole is not None
    return spec.whole, found


def _check_head(document: Document, found: Diagnostics) -> bool:
    """apiVersion and kind; False where the rest cannot be judged, because it is another kind of file."""
    goes_on = True
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
        if name == "kind" and near is None:
            goes_on = False
    return goes_on


def _sort(found: Diagnostics) -> None:
    """By place: first the file, in the order of its `--set`s and overlays, then line and column."""

    def place(item: Diagnostic) -> tuple[str, int, int]:
        return (item.primary.path, item.primary.line, item.primary.column) if item.primary else ("", 0, 0)

    found.items.sort(key=place)
