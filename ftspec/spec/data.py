"""`data`: where training and evaluation rows come from, and how they are split."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section
from ftspec.spec.synthesize import Synthesize

NonEmpty = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]


class CodeSource(Section):
    """Functions of a Python code base: the first docstring sentence asks, the source answers."""

    type: Literal["code"]
    path: NonEmpty
    """A folder with Python files, or `stdlib` for the standard library of the running Python."""
    include: list[NonEmpty] = Field(default_factory=lambda: ["**/*.py"])
    """Glob patterns of files to read, relative to `path`."""
    exclude: list[NonEmpty] = Field(
        default_factory=lambda: [
            "**/test/**",
            "**/tests/**",
            "**/site-packages/**",
            "**/.venv/**",
            "**/idlelib/**",
        ]
    )
    """Glob patterns of files to leave out."""


class Roles(Section):
    """Which column plays which role."""

    query: NonEmpty = "query"
    """Column with the query (the text itself for labelled classes)."""
    positive: NonEmpty | None = None
    """Column with the relevant document."""
    negatives: NonEmpty | Annotated[list[NonEmpty], Field(min_length=1)] | None = None
    """Column with a list of irrelevant documents, or several columns with one each."""
    label: NonEmpty | None = None
    """Column with a class (labelled classes) or 0/1 (binary pairs)."""
    score: NonEmpty | None = None
    """Column with a similarity score (scored pairs)."""
    group: NonEmpty | None = None
    """Column whose values stay on one side of a split, and that results are sliced by."""
    id: NonEmpty | None = None
    """Column with the query's identifier."""


class FileSource(Section):
    """Rows of a table file."""

    type: Literal["file"]
    path: NonEmpty
    """File, relative to the spec's folder; JSONL and CSV may be gzipped."""
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: Roles
    """Which column plays which role."""


class BeirSource(Section):
    """A folder with `corpus.jsonl`, `queries.jsonl` (gzip too) and `qrels/<split>.tsv`."""

    type: Literal["beir"]
    path: NonEmpty
    """The folder, relative to the spec's folder."""
    split: NonEmpty
    """Name of the judgement file: `train` reads `qrels/train.tsv`."""


class TextRoles(Section):
    """Which column plays which role."""

    text: NonEmpty = "text"
    """Column with the document's text."""
    id: NonEmpty | None = None
    """Column with the document's identifier."""


class DocumentsSource(Section):
    """Documents, for which a language model writes the queries: `ftspec synth SPEC` asks it."""

    type: Literal["documents"]
    path: NonEmpty
    """File, relative to the spec's folder; JSONL and CSV may be gzipped."""
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: TextRoles = TextRoles()
    """Which column plays which role."""
    synthesize: Synthesize
    """Which model writes, and what of it is kept."""


Source = Annotated[CodeSource | FileSource | BeirSource | DocumentsSource, Field(discriminator="type")]


class Filters(Section):
    min_query_chars: Annotated[int, Field(ge=0)] = 1
    """Drop rows with shorter queries."""
    max_query_chars: Count | None = None
    """Drop rows with longer queries."""
    min_document_chars: Annotated[int, Field(ge=0)] = 1
    """Drop rows with shorter documents."""
    max_document_chars: Count | None = None
    """Drop rows with longer documents."""
    deduplicate: bool = True
    """Keep one of several rows with the same query and positive."""


class Limit(Section):
    """Sample sizes, drawn by `split.seed`. The plan states them."""

    train: Count | None = None
    """At most this many training rows."""
    test_queries: Count | None = None
    """At most this many held-out queries."""
    test_documents: Count | None = None
    """At most this many documents to rank; judged ones are always kept."""


class Split(Section):
    by: Literal["auto", "group", "positive", "random"] = "auto"
    """What stays on one side: rows of one group, or rows that share a positive or a query."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share held out for the evidence, where `data.evaluation` is left away."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training rows held out for early stopping and the best checkpoint."""
    seed: int = 13
    """Decides which groups go where."""
    leakage: Literal["fail", "drop_train"] = "fail"
    """What to do when training rows share a query or a positive with `data.evaluation`: refuse, or drop them."""


class Data(Section):
    train: Annotated[list[Source], Field(min_length=1)]
    """Sources of training rows."""
    evaluation: list[Source] = Field(default_factory=list)
    """Sources of held-out queries; left away, they are split off `train`."""
    filters: Filters = Filters()
    """Rows to leave out."""
    limit: Limit = Limit()
    """Sample sizes."""
    split: Split = Split()
    """How rows are held out."""
    on_error: Literal["fail", "skip"] = "fail"
    """What to do with a bad row."""
