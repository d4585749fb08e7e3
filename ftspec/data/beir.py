"""A BEIR folder: `corpus.jsonl`, `queries.jsonl` (both may be gzipped) and `qrels/<split>.tsv`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.data.paths import not_found, require, resolve_path
from ftspec.data.rows import EvalQuery, Evaluation, FileDone, Row, RowFault, SourceFile, is_encodable
from ftspec.data.table_files import open_text, read_records
from ftspec.plan.embedding import SourcePlan

_MAX_SLICE_CHARS = 80
_NOT_SLICES = frozenset({"id", "_id", "text", "title", "metadata"})

_Judgements = list[tuple[int, str, str, int]]  # line, query id, document id, grade
_Queries = dict[str, tuple[str, tuple[tuple[str, str], ...]]]  # id -> text, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class BeirSource:
    label: str
    corpus: Path
    queries: Path
    qrels: Path
    index: int
    skips_faults: bool = False

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(
            SourceFile(name=name, path=path)
            for name, path in (("corpus", self.corpus), ("queries", self.queries), ("qrels", self.qrels))
        )

    @property
    def settings(self) -> dict[str, object]:
        return {"type": "beir"}

    def columns(self) -> tuple[str, ...]:
        return ()

    def rows(self, done: FileDone) -> Iterator[Row | RowFault]:
        """One row for each pair judged relevant; judged ids that are nowhere are faults."""
        documents, queries, judged, faults = self._read(done)
        yield from faults
        for _, query_id, document_id, grade in judged:
            if grade > 0:
                text, slices = queries[query_id]
                yield Row(
                    query_id=query_id,
                    query=text,
                    positive_id=document_id,
                    positive=documents[document_id],
                    group=dict(slices).get("group"),
                    slices=tuple(item for item in slices if item[0] != "group"),
                    grade=grade,
                    source=self.index,
                )

    def evaluation(self, done: FileDone) -> tuple[Evaluation, tuple[RowFault, ...]]:
        """The judged queries with a relevant document, and the whole corpus."""
        documents, queries, judged, faults = self._read(done)
        answered = {query_id for _, query_id, _, grade in judged if grade > 0}
        found = Evaluation(
            queries=tuple(
                EvalQuery(id=id, text=text, slices=slices)
                for id, (text, slices) in queries.items()
                if id in answered
            ),
            documents=tuple(documents.items()),
            grades={(query, document): grade for _, query, document, grade in judged if query in answered},
        )
        return found, tuple(faults)

    def _read(self, done: FileDone) -> tuple[dict[str, str], _Queries, _Judgements, list[RowFault]]:
        faults: list[RowFault] = []
        documents: dict[str, str] = {}
        for line, record in self._objects(self.corpus, faults):
            self._add(documents, record, line, self.corpus, faults)
        done()
        texts: dict[str, str] = {}
        queries: _Queries = {}
        for line, record in self._objects(self.queries, faults):
            id = self._add(texts, record, line, self.queries, faults)
            if id is not None:
                queries[id] = (texts[id], _slices(record))
        done()
        judged = self._judgements(documents, queries, faults)
        done()
        return documents, queries, judged, faults

    def _name(self, path: Path) -> str:
        return f"{self.label}/qrels/{path.name}" if path == self.qrels else f"{self.label}/{path.name}"

    def _objects(self, path: Path, faults: list[RowFault]) -> Iterator[tuple[int, dict[str, Any]]]:
        for record in read_records(path, "jsonl"):
            if isinstance(record.value, str):
                faults.append(
                    RowFault(
                        file=self._name(path), line=record.line, reason=record.value, excerpt=record.excerpt
                    )
                )
            else:
                yield record.line, record.value

    def _add(
        self,
        texts: dict[str, str],
        record: dict[str, Any],
        line: int,
        path: Path,
        faults: list[RowFault],
    ) -> str | None:
        """The id under which a text was added; None after a fault."""
        id = record.get("id", record.get("_id"))
        text = _text(record, titled=path == self.corpus)
        reason = ""
        if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
            reason = "`id` (or `_id`) is missing"
        elif str(id) in texts:
            reason = f"the id `{id}` stands twice"
        elif not text.strip():
            reason = "`text` is missing or empty"
        elif not is_encodable(text + str(id)):
            reason = "it holds half of a surrogate pair"
        if reason:
            faults.append(
                RowFault(file=self._name(path), line=line, reason=reason, excerpt=str(record)[:160])
            )
            return None
        texts[str(id)] = text
        return str(id)

    def _judgements(
        self, documents: dict[str, str], queries: _Queries, faults: list[RowFault]
    ) -> _Judgements:
        judged: _Judgements = []
        seen: set[tuple[str, str]] = set()
        name = self._name(self.qrels)
        with open_text(self.qrels) as file:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip("\r\n")
                cells = line.split("\t")
                if not line.strip() or (number == 1 and not _is_grade(cells[-1])):
                    continue
                reason = ""
                if len(cells) != 3:
                    reason = f"{len(cells)} cells, not query-id, corpus-id and score"
                elif not _is_grade(cells[2]):
                    reason = f"the score `{cells[2]}` is not an integer from 0 on"
                elif cells[0] not in queries:
                    reason = f"the query `{cells[0]}` is not in {self.queries.name}"
                elif cells[1] not in documents:
                    reason = f"the document `{cells[1]}` is not in {self.corpus.name}"
                elif (cells[0], cells[1]) in seen:
                    reason = "this pair is judged twice"
                if reason:
                    faults.append(RowFault(file=name, line=number, reason=reason, excerpt=line[:160]))
                    continue
                seen.add((cells[0], cells[1]))
                judged.append((number, cells[0], cells[1], int(cells[2])))
        return judged


def open_beir(plan: SourcePlan, folder: Path, index: int) -> BeirSource:
    """Find the three files; none is read. Raises FtspecError (FTS701) with what was looked for."""
    root = resolve_path(plan.path, folder)
    require(root, plan.path, folder=True)
    assert plan.split is not None, "a BEIR source always names its split"
    qrels = root / "qrels" / f"{plan.split}.tsv"
    if not qrels.is_file():
        there = sorted(path.stem for path in (root / "qrels").glob("*.tsv"))
        raise not_found(
            f"`{plan.path}`: there is no file qrels/{plan.split}.tsv",
            f"it has the splits {', '.join(there)}" if there else "",
        )
    return BeirSource(
        label=plan.path,
        corpus=_either(root, "corpus.jsonl", plan.path),
        queries=_either(root, "queries.jsonl", plan.path),
        qrels=qrels,
        index=index,
    )


def _either(root: Path, name: str, written: str) -> Path:
    for candidate in (root / name, root / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise not_found(f"`{written}`: there is neither {name} nor {name}.gz in {root}")


def _text(record: dict[str, Any], *, titled: bool) -> str:
    """ "title\\ntext" of a document that has a title, else the text; "" where there is none."""
    parts = [record.get(name) for name in (("title", "text") if titled else ("text",))]
    return "\n".join(part for part in parts if isinstance(part, str) and part.strip())


def _slices(record: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, str(value))
        for key, value in sorted(record.items())
        if key not in _NOT_SLICES
        and isinstance(value, str | int)
        and 0 < len(str(value)) <= _MAX_SLICE_CHARS
        and is_encodable(str(value))
    )


def _is_grade(text: str) -> bool:
    return text.isascii() and text.isdigit()
