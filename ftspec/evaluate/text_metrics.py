"""Values of written answers, one row at a time: exact match, token F1, and checks of cited answers.

Pure functions of texts. What they cannot know is whether a paraphrase is right: they measure agreement with
given answers and with a form, not truth.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END, REFUSAL

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftRow:
    """What a row was made of. `present`: its prompt shows the oracle; `refuse`: its trained answer is a
    refusal."""

    oracle: str
    distractors: tuple[str, ...]
    present: bool
    refuse: bool


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces: the `normalize_answer` of
    the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv 1606.05250)."""
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def answer_part(text: str) -> str:
    """What follows the answer mark; the whole text where there is none. Of several marks the last one
    counts: a model that reasons may name the mark before it answers."""
    return text.rpartition(ANSWER_MARK)[2].strip()


def exact_match(text: str, answers: Sequence[str]) -> float:
    """1 if the answer part equals any of `answers`, both normalised as SQuAD does; else 0."""
    assert answers
    found = normalise_answer(answer_part(text))
    return float(any(found == normalise_answer(answer) for answer in answers))


def token_f1(text: str, answers: Sequence[str]) -> float:
    """The best F1 over `answers` between bags of normalised words (SQuAD, as above).

    F1 = 2pr / (p + r), with p and r the shared words over the words of the answer part and of the given
    answer. Where one side has no words left, 1 if neither has any, else 0 (as SQuAD 2.0 does).
    """
    assert answers
    found = normalise_answer(answer_part(text)).split()
    return max(_f1(found, normalise_answer(answer).split()) for answer in answers)


def _f1(found: list[str], expected: list[str]) -> float:
    if not found or not expected:
        return float(found == expected)
    shared = sum((Counter(found) & Counter(expected)).values())
    # 2pr / (p + r) with p = shared / found, r = shared / expected
    return 2 * shared / (len(found) + len(expected))


def quotes(text: str) -> tuple[str, ...]:
    """The texts between quote marks, in order, with single spaces. A mark that is never closed opens no
    quote; an empty quote is one (of nothing), and is valid nowhere."""
    found = []
    place = 0
    # In one walk: a model that repeats the opening mark must not cost a pattern quadratic time.
    while (start := text.find(QUOTE_BEGIN, place)) >= 0:
        start += len(QUOTE_BEGIN)
        end = text.find(QUOTE_END, start)
        if end < 0:
            break
        found.append(_spaced(text[start:end]))
        place = end + len(QUOTE_END)
    return tuple(found)


def quotes_valid(text: str, oracle: str) -> float:
    """Share of the quotes that stand verbatim in the oracle document; 0 when nothing is cited.

    Verbatim but for white space: line breaks of a document are no reason to call a quote false. The form
    of the quotes is RAFT's (Zhang et al. 2024, arXiv 2403.10131).
    """
    cited, document = quotes(text), _spaced(oracle)
    return sum(bool(quote) and quote in document for quote in cited) / len(cited) if cited else 0.0


def oracle_cited(text: str, oracle: str, distractors: Sequence[str]) -> float:
    """1 if at least one quote comes from the oracle and none only from a distractor; else 0.

    A quote that stands in no document is a fault of `quotes_valid`, not of the choice of the document. One
    that stands in both the oracle and a distractor speaks for neither side alone, and counts as the oracle's.
    """
    document, others = _spaced(oracle), [_spaced(each) for each in distractors]
    cited = {quote for quote in quotes(text) if quote}
    elsewhere = {quote for quote in cited if quote not in document}
    strayed = any(quote in each for quote in elsewhere for each in others)
    return float(len(cited) > len(elsewhere) and not strayed)


def is_refusal(text: str) -> bool:
    """Does the answer part begin with the sentence that refusals are trained to say (normalised as SQuAD
    does)? Other ways to refuse are not seen."""
    sentence = normalise_answer(REFUSAL)
    return (normalise_answer(answer_part(text)) + " ").startswith(sentence + " ")


def refused(text: str, raft: RaftRow) -> float | None:
    """Did the model refuse exactly where it was trained to?

    A row whose trained answer is a refusal: 1 if refused. A row that shows its oracle: 1 if not refused.
    None for a row without its oracle that was trained to be answered all the same.
    """
    if raft.refuse:
        return float(is_refusal(text))
    return float(not is_refusal(text)) if raft.present else None


def answer_form(text: str) -> float:
    """1 if the text has exactly one answer mark; else 0."""
    return float(text.count(ANSWER_MARK) == 1)


def text_value(metric: str, text: str, answers: Sequence[str], raft: RaftRow | None) -> float | None:
    """Value of a metric of written answers on one row; None where it is not defined.

    exact_match, token_f1: rows with `answers` that are not to be refused. quotes_valid, oracle_cited: rows
    that show their oracle. refused: as there. answer_form: all RAFT rows.
    """
    if metric in ("exact_match", "token_f1"):
        if not answers or (raft is not None and raft.refuse):
            return None
        return exact_match(text, answers) if metric == "exact_match" else token_f1(text, answers)
    if raft is None:
        return None
    if metric == "refused":
        return refused(text, raft)
    if metric == "answer_form":
        return answer_form(text)
    if not raft.present:
        return None
    if metric == "quotes_valid":
        return quotes_valid(text, raft.oracle)
    assert metric == "oracle_cited", metric
    return oracle_cited(text, raft.oracle, raft.distractors)


def _spaced(text: str) -> str:
    return " ".join(text.split())
