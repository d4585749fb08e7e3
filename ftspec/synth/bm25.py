"""Round trip: is the document that a query was written from the first one that the query finds?"""

from collections.abc import Sequence
from functools import lru_cache


def found_first(queries: Sequence[tuple[str, int]], documents: Sequence[str]) -> tuple[bool, ...]:
    """For each (query, index of its document): does no document score higher by BM25 (k1 1.5, b .75)?

    Words as bm25s reads them, lower-cased, without a list of stop words, so in any language that sets
    blanks. A query that shares no word with its document is not found.
    """
    return _found_first(tuple(queries), tuple(documents))


@lru_cache(maxsize=2)  # one command looks several times, before and after it asks
def _found_first(queries: tuple[tuple[str, int], ...], documents: tuple[str, ...]) -> tuple[bool, ...]:
    import bm25s

    tokens = _tokens(documents) if queries else []
    known = {word for words in tokens for word in words}
    if not known:
        return (False,) * len(queries)
    retriever = bm25s.BM25()
    retriever.index(tokens, show_progress=False)
    result = []
    for (_, own), words in zip(queries, _tokens([query for query, _ in queries]), strict=True):
        wanted = [word for word in words if word in known]
        scores = retriever.get_scores(wanted) if wanted else None
        result.append(scores is not None and bool(scores[own] > 0 and scores[own] >= scores.max()))
    return tuple(result)


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    import bm25s

    found: list[list[str]] = bm25s.tokenize(list(texts), stopwords=[], return_ids=False, show_progress=False)
    return found
