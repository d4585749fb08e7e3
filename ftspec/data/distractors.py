"""Documents that are shown beside the oracle, or in its place: found by BM25, or drawn.

A distractor never holds an answer to its question, or it would be an oracle too.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ftspec.data.llm_rows import RaftDocument
from ftspec.data.rows import normalise

_WORD = re.compile(r"\w+")
_NO_BLANKS = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
_DIGITS = 4  # of a score that count: what lies behind them differs between machines


class Distractors:
    """Ranks the documents of one source. Their order in the file plays no part: they are sorted by id."""

    def __init__(self, documents: Sequence[RaftDocument], *, retriever: str, seed: int) -> None:
        self._documents = sorted(documents, key=lambda document: document.id)
        words = [words_of(document.text) for document in self._documents]
        self._plain = [f" {' '.join(each)} " for each in words]
        self._texts = [normalise(document.text) for document in self._documents]
        self._seed = seed
        self._index = _index(words) if retriever == "bm25" else None

    def pick(
        self, question: str, oracle: RaftDocument, answers: Sequence[str], count: int
    ) -> tuple[list[RaftDocument], int]:
        """`count` documents, the likeliest first, fewer where there are not so many; and how many of them
        were drawn at random because no more shared a word with the question (0 for `random`)."""
        refused = _Refused(oracle, answers)
        tried: set[int] = set()

        def serving(places: Iterator[int], wanted: int) -> list[int]:
            picked: list[int] = []
            while len(picked) < wanted and (place := next(places, None)) is not None:
                if place not in tried:
                    tried.add(place)
                    if self._serves(place, refused):
                        picked.append(place)
            return picked

        found = serving(self._ranked(question, 4 * count + 16), count)
        drawn = serving(self._drawn(question), count - len(found))
        at_random = 0 if self._index is None else len(drawn)
        return [self._documents[place] for place in (*found, *drawn)], at_random

    def overlap(self, question: str, document: RaftDocument) -> float:
        """The share of the question's words that the document holds."""
        wanted = set(words_of(question))
        return len(wanted & set(words_of(document.text))) / len(wanted) if wanted else 0.0

    def _serves(self, place: int, refused: "_Refused") -> bool:
        if self._documents[place].id == refused.id or self._texts[place] == refused.text:
            return False
        return not (
            any(answer in self._plain[place] for answer in refused.words)
            or any(answer in self._texts[place] for answer in refused.pieces)
        )

    def _ranked(self, question: str, first: int) -> Iterator[int]:
        """Documents that share a word with the question by falling score, equal ones by id."""
        if self._index is None:
            return
        retriever, known = self._index
        words = [word for word in words_of(question) if word in known]
        if not words:
            return
        import numpy as np

        scores = np.round(retriever.get_scores(words), _DIGITS)
        least = 0.0
        if first < len(scores):  # mostly the first few are enough, and sorting all of them is slow
            least = max(0.0, float(np.partition(scores, -first)[-first]))
            head = np.flatnonzero(scores >= least) if least > 0 else np.flatnonzero(scores > 0)
            yield from (int(place) for place in head[np.argsort(-scores[head], kind="stable")])
        rest = np.flatnonzero(scores > 0)
        yield from (int(place) for place in rest[np.argsort(-scores[rest], kind="stable")])

    def _drawn(self, question: str) -> Iterator[int]:
        """All documents in an order of their own for each question."""
        draws = random.Random(f"{self._seed}\0{question}")  # noqa: S311 - a draw, not a secret
        count = len(self._documents)
        yield from draws.sample(range(count), min(count, 256))
        yield from draws.sample(range(count), count)


class _Refused:
    """The oracle, and its answers: as whole words, or anywhere where a script sets no blanks."""

    def __init__(self, oracle: RaftDocument, answers: Sequence[str]) -> None:
        self.id = oracle.id
        self.text = normalise(oracle.text)
        apart = [answer for answer in answers if words_of(answer) and not _NO_BLANKS.search(answer)]
        self.words = [f" {' '.join(words_of(answer))} " for answer in apart]
        self.pieces = [normalise(answer) for answer in answers if answer not in apart and answer.strip()]


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _index(tokens: list[list[str]]) -> tuple[Any, set[str]] | None:
    known = {word for words in tokens for word in words}
    if not known:
        return None
    import bm25s

    retriever = bm25s.BM25(backend="numpy")
    retriever.index(tokens, show_progress=False)
    return retriever, known
