"""Rows of the split as columns for the trainer, and which documents may not be negatives.

Columns reach a loss by their order, so a data set is built here with exactly the columns of the
plan's roles and one label column, never by passing a file through.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """JSON Lines in UTF-8, one object a line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def same(text: str) -> str:
    """Two documents are the same when they differ in case and white space only."""
    return " ".join(text.casefold().split())


class Judgements:
    """For any batch of rows: which documents of the batch are relevant to which of its queries.

    Relevant are the documents judged so for the query (by its id, or by the same text in another row)
    and every document with the same text as one of them.
    """

    def __init__(self, documents: np.ndarray, relevant: Sequence[np.ndarray]) -> None:
        self._documents = documents  # [rows, columns], a number for each distinct text
        self._relevant = relevant  # for each row the numbers of its relevant texts

    @classmethod
    def from_rows(cls, rows: Sequence[Row], num_negatives: int) -> "Judgements":
        numbers: dict[str, int] = {}
        texts = {row["positive_id"]: row["positive"] for row in rows}
        by_query: dict[str, set[int]] = {}
        documents = np.empty((len(rows), 1 + num_negatives), dtype=np.int64)
        for index, row in enumerate(rows):
            columns = [row["positive"], *row.get("negatives", [])[:num_negatives]]
            documents[index] = [numbers.setdefault(same(text), len(numbers)) for text in columns]
            judged = [texts[id] for id in row.get("judged", []) if id in texts]
            mine = {numbers.setdefault(same(text), len(numbers)) for text in [row["positive"], *judged]}
            for name in _names(row):
                by_query.setdefault(name, set()).update(mine)
        relevant = [
            np.array(sorted(set().union(*(by_query[name] for name in _names(row)))), dtype=np.int64)
            for row in rows
        ]
        return cls(documents, relevant)

    def relevant_mask(self, rows: torch.Tensor) -> torch.Tensor:
        """[batch, columns · batch] of bool, documents column by column; a row's own positive is False."""
        chosen = rows.tolist()
        documents = self._documents[chosen].T.reshape(-1)
        mask = np.stack([np.isin(documents, self._relevant[row]) for row in chosen])
        np.fill_diagonal(mask[:, : len(chosen)], False)
        return torch.from_numpy(mask)


def _names(row: Row) -> tuple[str, str]:
    return f"id {row['query_id']}", f"text {same(row['query'])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """`columns` are the text columns in the order in which the loss gets them."""

    dataset: Dataset
    columns: tuple[str, ...]
    judgements: Judgements | None


def training_data(rows: Sequence[Row], objective: str, roles: Sequence[str], num_negatives: int) -> Training:
    """The data set of the trainer: text columns by role, then `label`.

    In `label`: for contrastive the row's number (the loss asks `judgements` with it), else the score,
    the 0/1 label, or the number of the class (classes sorted by name).
    """
    columns: dict[str, list[Any]] = {}
    for role in roles:
        if role == "negatives":
            for index in range(num_negatives):
                columns[f"negative_{index + 1}"] = [row["negatives"][index] for row in rows]
        elif role in ("query", "positive"):
            columns[role] = [row[role] for row in rows]
    texts = tuple(columns)
    judgements = None
    if objective == "contrastive":
        judgements = Judgements.from_rows(rows, num_negatives if "negatives" in roles else 0)
        columns["label"] = list(range(len(rows)))
    elif objective == "scored_pairs":
        columns["label"] = [float(row["score"]) for row in rows]
    elif objective == "binary_pairs":
        columns["label"] = [int(row["label"]) for row in rows]
    elif objective == "labelled_classes":
        classes = {name: index for index, name in enumerate(sorted({str(row["label"]) for row in rows}))}
        columns["label"] = [classes[str(row["label"])] for row in rows]
    return Training(dataset=Dataset.from_dict(columns), columns=texts, judgements=judgements)


def column_prompts(columns: Sequence[str], query: str, document: str) -> dict[str, str]:
    """The prompt of each text column; columns without one are left out."""
    prompts = {column: query if column == "query" else document for column in columns}
    return {column: prompt for column, prompt in prompts.items() if prompt}


class SeededBatchSampler(DefaultBatchSampler):
    """Random batches whose order depends on the seed and the epoch alone, so that a resumed run sees
    the batches that the undisturbed one would have seen."""

    def __init__(self, dataset: Dataset, batch_size: int, drop_last: bool, **options: Any) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=drop_last, **options)
        self._rows = len(dataset)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self._rows, generator=generator).tolist()
        for start in range(0, self._rows, self.batch_size):
            batch = order[start : start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        full, rest = divmod(self._rows, self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Held-out queries, the documents to rank, and graded judgements by position."""

    queries: list[str]
    documents: list[str]
    query_ids: list[str]
    document_ids: list[str]
    grades: list[dict[int, int]]  # for each query: position of a document -> grade above 0


def read_retrieval(folder: Path) -> Retrieval:
    """queries.jsonl, corpus.jsonl and qrels.jsonl of one folder. Judgements of unknown ids are dropped."""
    queries, corpus = read_rows(folder / "queries.jsonl"), read_rows(folder / "corpus.jsonl")
    query_at = _positions(queries)
    document_at = _positions(corpus)
    grades: list[dict[int, int]] = [{} for _ in queries]
    for row in read_rows(folder / "qrels.jsonl"):
        query, document = query_at.get(row["query_id"]), document_at.get(row["document_id"])
        if query is not None and document is not None and row["grade"] > 0:
            grades[query][document] = row["grade"]
    return Retrieval(
        queries=[row["text"] for row in queries],
        documents=[row["text"] for row in corpus],
        query_ids=[row["id"] for row in queries],
        document_ids=[row["id"] for row in corpus],
        grades=grades,
    )


def _positions(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {row["id"]: index for index, row in enumerate(rows)}


def judged_pairs(retrieval: Retrieval) -> list[Row]:
    """One training-like row for each judged pair, for the validation loss."""
    return [
        {
            "query_id": retrieval.query_ids[query],
            "query": retrieval.queries[query],
            "positive_id": retrieval.document_ids[document],
            "positive": retrieval.documents[document],
            "judged": [retrieval.document_ids[other] for other in grades],
        }
        for query, grades in enumerate(retrieval.grades)
        for document in sorted(grades)
    ]
