"""Open the sources of a request and take digests of their content; no row is read here."""

import hashlib
import json
from dataclasses import replace

from ftspec.data.beir import open_beir
from ftspec.data.code import open_code
from ftspec.data.request import DataRequest
from ftspec.data.rows import Source
from ftspec.data.table import open_table
from ftspec.diagnostics.codes import SOURCE_EMPTY
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.plan.embedding import SourcePlan
from ftspec.store.digests import DigestCache


def open_sources(request: DataRequest) -> tuple[tuple[Source, ...] | None, Diagnostics]:
    """The training sources, then those of the evaluation. Every source that is missing is named."""
    found = Diagnostics()
    opened: list[Source] = []
    for index, plan in enumerate((*request.train, *request.evaluation)):
        try:
            source = _open(plan, request, index)
        except FtspecError as error:
            found.extend(about_source(each, request, index) for each in error.diagnostics)
            continue
        if not source.files:
            found.add(
                SOURCE_EMPTY,
                f"`{plan.path}`: no file matches",
                help="see `include` and `exclude` of the source",
                about=source_key(request, index),
            )
        opened.append(source)
    return (None if found.has_errors else tuple(opened)), found


def source_key(request: DataRequest, index: int) -> tuple[str | int, ...]:
    """Where the spec names the source: those of training are counted first."""
    num_train = len(request.train)
    return ("data", "train", index) if index < num_train else ("data", "evaluation", index - num_train)


def about_source(found: Diagnostic, request: DataRequest, index: int) -> Diagnostic:
    """A finding about a source, which itself only names a key of it, such as `roles.query`."""
    return replace(found, about=(*source_key(request, index), *(found.about or ("path",))))


def _open(plan: SourcePlan, request: DataRequest, index: int) -> Source:
    if plan.type == "code":
        return open_code(plan, request.folder, index)
    if plan.type == "beir":
        return open_beir(plan, request.folder, index)
    if plan.type == "documents":
        from ftspec.data.documents import open_documents  # brings the makers of questions along

        return open_documents(plan, request.folder, index, request.synth)
    assert plan.type == "file", plan.type
    return open_table(plan, request.folder, index, request.slices)


def content_digest(source: Source, cache: DigestCache) -> str:
    """ "sha256:…" over the names and bytes of a source's files and over how they are read.

    A table or BEIR folder keeps its digest when it is moved. Raises OSError as `open` does.
    """
    document = {
        "settings": source.settings,
        "files": [["", cache.sha256(file.path)] for file in source.files]
        if len(source.files) == 1 and source.settings["type"] == "file"
        else [[file.name, cache.sha256(file.path)] for file in source.files],
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def overall_digest(digests: list[str]) -> str:
    return "sha256:" + hashlib.sha256("\n".join(digests).encode()).hexdigest()
