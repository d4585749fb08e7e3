"""Exact rankings of a whole corpus, from embeddings. No index, no approximation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating]

SCORE_BYTES = 128 * 2**20  # of one block of scores; bounds the memory of a ranking
DOCUMENT_BLOCK = 4096  # documents that are widened to float64 at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The best documents of one query, best first. Equal scores stand in the order of their ids."""

    query_id: str
    documents: tuple[str, ...]
    scores: tuple[float, ...]


def rank(
    queries: "Vectors",
    documents: "Vectors",
    *,
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    top_k: int,
    cosine: bool,
    dimension: int | None = None,
    exclude: Sequence[frozenset[str]] | None = None,
    score_bytes: int = SCORE_BYTES,
) -> tuple[Ranking, ...]:
    """Rank all documents for every query by dot product, or by cosine.

    `queries` is [q, width] and `documents` [d, width], rows in the order of their ids. With
    `dimension`, only that prefix of every vector is read (Matryoshka: Kusupati et al. 2022,
    arXiv 2205.13147), and normalised again when the similarity is cosine. `exclude` holds, per
    query, ids of documents that must not be ranked.

    Sums run in float64 and are rounded to float32, so that equal documents score the same wherever
    they stand in the corpus, and ties are really ties: they are broken by document id.
    """
    import numpy as np

    assert len(queries) == len(query_ids), "one vector per query"
    assert len(documents) == len(document_ids), "one vector per document"
    assert len(set(document_ids)) == len(document_ids), "document ids are unique"
    assert exclude is None or len(exclude) == len(query_ids)
    assert queries.ndim == 2
    assert documents.ndim == 2
    assert queries.shape[1] == documents.shape[1]
    width = dimension or queries.shape[1]
    assert 0 < width <= queries.shape[1], "a prefix is no longer than the vector"
    assert top_k > 0

    # Columns in the order of the ids: a stable sort by score then breaks ties by id.
    by_id = np.array(sorted(range(len(document_ids)), key=document_ids.__getitem__), dtype=np.int64)
    column_of = {document_ids[row]: column for column, row in enumerate(by_id)}
    step = max(1, score_bytes // (4 * max(1, len(document_ids))))

    rankings: list[Ranking] = []
    for start in range(0, len(query_ids), step):
        chunk = _prefix(queries[start : start + step], width, cosine)
        scores = np.empty((len(chunk), len(document_ids)), dtype=np.float32)
        for first in range(0, len(document_ids), DOCUMENT_BLOCK):
            rows = by_id[first : first + DOCUMENT_BLOCK]
            scores[:, first : first + len(rows)] = chunk @ _prefix(documents[rows], width, cosine).T
        for row in range(len(chunk)):
            banned = exclude[start + row] if exclude else frozenset()
            columns = [column_of[id] for id in sorted(banned) if id in column_of]
            scores[row, columns] = -np.inf
            best = _best(scores[row], min(top_k, len(document_ids) - len(columns)))
            rankings.append(
                Ranking(
                    query_id=query_ids[start + row],
                    documents=tuple(document_ids[by_id[column]] for column in best),
                    scores=tuple(float(scores[row, column]) for column in best),
                )
            )
    return tuple(rankings)


def _prefix(vectors: "Vectors", width: int, cosine: bool) -> "NDArray[np.float64]":
    """The first `width` components in float64, of length 1 for cosine. A zero vector stays zero."""
    import numpy as np

    part = np.asarray(vectors[:, :width], dtype=np.float64)
    assert np.isfinite(part).all(), "an embedding holds NaN or infinity"
    if not cosine:
        return part
    norms = np.linalg.norm(part, axis=1, keepdims=True)
    return part / np.where(norms == 0, 1, norms)


def _best(scores: "NDArray[np.float32]", count: int) -> "NDArray[np.int64]":
    """Columns of the `count` highest scores, highest first, equal ones by column.

    Partition finds the score of the last place; all columns at or above it are sorted, because the
    partition itself keeps an arbitrary choice of the columns that tie there.
    """
    import numpy as np

    if count <= 0:
        return np.empty(0, dtype=np.int64)
    if count < len(scores):
        last = np.partition(scores, len(scores) - count)[len(scores) - count]
        columns = np.flatnonzero(scores >= last)
    else:
        columns = np.arange(len(scores))
    order = np.argsort(-scores[columns], kind="stable")
    return columns[order][:count]
