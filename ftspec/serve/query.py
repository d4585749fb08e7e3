"""A question, and the documents that a model finds for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftspec.evaluate.rank import rank
from ftspec.serve.index import Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    rank: int  # from 1
    id: str
    score: float
    text: str


def search(index: Index, vector: "NDArray[np.float32]", *, top_k: int, cosine: bool) -> tuple[Hit, ...]:
    """The `top_k` documents nearest to one query vector [width], by exact search."""
    (ranking,) = rank(
        vector[None, :],
        index.vectors,
        query_ids=("query",),
        document_ids=index.ids,
        top_k=top_k,
        cosine=cosine,
    )
    texts = dict(zip(index.ids, index.texts, strict=True))
    return tuple(
        Hit(rank=place, id=id, score=round(score, 6), text=texts[id])
        for place, (id, score) in enumerate(zip(ranking.documents, ranking.scores, strict=True), start=1)
    )
