"""What an objective reads, against the columns that a source declares."""

from ftspec.diagnostics.codes import BAD_VALUE, OBJECTIVE_IGNORES_ROLE, OBJECTIVE_LACKS_ROLE
from ftspec.diagnostics.model import Diagnostics, Related
from ftspec.source.document import Document
from ftspec.spec.data import BeirSource, CodeSource, FileSource, Roles, Source
from ftspec.spec.parts import Parts
from ftspec.spec.suggest import listed

# role -> must it be there? What is in neither is not read. `group` and `id` are read by the split.
READS: dict[str, dict[str, bool]] = {
    "contrastive": {"positive": True, "negatives": False},
    "triplet": {"positive": True, "negatives": True},
    "scored_pairs": {"positive": True, "score": True},
    "binary_pairs": {"positive": True, "label": True},
    "labelled_classes": {"label": True},
}
_JUDGED = ("positive", "negatives", "label", "score")


def roles(parts: Parts, document: Document, found: Diagnostics) -> None:
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


def _against(
    objective: str, source: Source, path: tuple[str | int, ...], document: Document, found: Diagnostics
) -> None:
    has = _roles_of(source)
    if has is None:
        return
    reads = READS[objective]
    place = document.span(("train", "objective", "type"))
    assert place is not None
    related = (Related(span=place, message=f"the objective is `{objective}`"),)
    lacks = [role for role, needed in reads.items() if needed and role not in has]
    if lacks:
        at = (*path, "roles") if isinstance(source, FileSource) else (*path, "type")
        span = document.span(at, key=isinstance(source, FileSource))
        help = (
            f"add the role {listed(f'{role}: <column>' for role in lacks)}"
            if isinstance(source, FileSource)
            else ""
        )
        told = "no role" if isinstance(source, FileSource) else f"a `{source.type}` source has no"
        found.add(
            OBJECTIVE_LACKS_ROLE,
            f"`{objective}` reads {listed(lacks, 'and')}; {told} of that name"
            if isinstance(source, FileSource)
            else f"`{objective}` reads {listed(lacks, 'and')}, which {told[:-3]} does not have",
            primary=span,
            related=related,
            help=help or f"choose an objective that reads {listed(has, 'and')}",
        )
    if not isinstance(source, FileSource):
        return
    for role in _JUDGED:
        if role in has and role not in reads:
            readers = [name for name, wanted in READS.items() if role in wanted]
            found.add(
                OBJECTIVE_IGNORES_ROLE,
                f"`{objective}` does not read a `{role}`",
                primary=document.span((*path, "roles", role), key=True),
                related=related,
                help=f"remove the role, or choose {listed(readers)}",
            )


def _roles_of(source: Source) -> tuple[str, ...] | None:
    """The judged roles that rows of the source have; None where the files must be read to tell."""
    match source:
        case FileSource():
            return tuple(role for role in _JUDGED if getattr(source.roles, role) is not None)
        case CodeSource():
            return ("query", "positive")
        case BeirSource():
            return None


def _distinct(wanted: Roles, path: tuple[str | int, ...], document: Document, found: Diagnostics) -> None:
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
