"""What an objective reads, against the columns that a source declares."""

from ftspec.diagnostics.codes import BAD_VALUE, OBJECTIVE_IGNORES_ROLE, OBJECTIVE_LACKS_ROLE
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.plan.objectives import TRAITS, traits_of
from ftspec.source.document import Document
from ftspec.spec.data import BeirSource, CodeSource, DocumentsSource, FileSource, Roles, Source
from ftspec.spec.parts import EmbeddingParts
from ftspec.spec.suggest import listed

Path = tuple[str | int, ...]

_JUDGED = ("positive", "negatives", "label", "score")


def roles(parts: EmbeddingParts, document: Document, found: Diagnostics) -> None:
    if parts.data is None:
        return
    for index, source in enumerate(parts.data.train):
        path = ("data", "train", index)
        if isinstance(source, FileSource):
            _distinct(source.roles, (*path, "roles"), document, found)
        if parts.train is not None:
            _against(parts.train.objective.type, source, path, document, found)
    for index, source in enumerate(parts.data.evaluation):
        path = ("data", "evaluation", index)
        if not isinstance(source, FileSource):
            continue
        _distinct(source.roles, (*path, "roles"), document, found)
        if source.roles.positive is None:
            found.add(
                OBJECTIVE_LACKS_ROLE,
                "held-out rows need a `positive`: the document that a ranking should find",
                primary=document.span((*path, "roles"), key=True),
                help="add the role `positive: <column>`",
            )


def _against(objective: str, source: Source, path: Path, document: Document, found: Diagnostics) -> None:
    has = _roles_of(source)
    if has is None:
        return
    traits = traits_of(objective)
    place = document.span(("train", "objective", "type"))
    assert place is not None
    related = (Related(span=place, message=f"the objective is `{objective}`"),)
    lacks = [role for role in traits.required if role not in has]
    is_file = isinstance(source, FileSource)
    if lacks:
        whose = "these rows have none" if is_file else f"a `{source.type}` source has none"
        help = f"add {listed((f'{role}: <column>' for role in lacks), 'and')} to the roles"
        if not is_file:
            fitting = [name for name, other in TRAITS.items() if set(other.required) <= set(has)]
            help = f"choose {listed(fitting)}, or another source"
        found.add(
            OBJECTIVE_LACKS_ROLE,
            f"`{objective}` reads {listed(lacks, 'and')}, and {whose}",
            primary=document.span((*path, "roles" if is_file else "type"), key=is_file),
            related=related,
            help=help,
        )
    for role in has if is_file else ():
        if role not in traits.reads:
            readers = [name for name, other in TRAITS.items() if role in other.reads]
            found.add(
                OBJECTIVE_IGNORES_ROLE,
                f"`{objective}` does not read `{role}`",
                primary=document.span((*path, "roles", role), key=True),
                related=related,
                help=f"remove the role, or choose {listed(readers)}",
            )


def _roles_of(source: Source) -> tuple[str, ...] | None:
    """The judged roles that rows of the source have; None where the files must be read to tell."""
    match source:
        case FileSource():
            return ("query", *(role for role in _JUDGED if getattr(source.roles, role) is not None))
        case CodeSource() | DocumentsSource():
            return ("query", "positive")
        case BeirSource():
            return None


def _distinct(wanted: Roles, path: Path, document: Document, found: Diagnostics) -> None:
    """The texts of a row come from different columns."""
    columns: dict[str, str] = {wanted.query: "query"}
    for role in ("positive", "negatives", "score"):
        value = getattr(wanted, role)
        for column in value if isinstance(value, list) else [value]:
            if column is not None and column in columns:
                found.add(
                    BAD_VALUE,
                    f"the column `{column}` is `{columns[column]}` already",
                    primary=document.span((*path, role)),
                    help="name a column of its own for each role",
                )
            elif column is not None:
                columns[column] = role
