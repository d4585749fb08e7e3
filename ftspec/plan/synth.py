"""Synthetic text in a plan: which model writes what, and which of it is kept.

`spec` and `data` both build these. Fields in `COSMETIC` never change what is written, so they enter no
digest: where the model answers, who asks, how fast, and what it costs.
"""

from dataclasses import dataclass

QUESTIONS, QUERIES, ANSWERS = "questions", "queries", "answers"
TASKS = (QUESTIONS, QUERIES, ANSWERS)

COSMETIC = ("endpoint", "api", "api_key", "timeout_seconds", "concurrency", "prices")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthExample:
    """A document, and what somebody would ask it for: shown to the model before its own document."""

    document: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthJudge:
    """A second look by a model: what it grades below `min_score` (of 1 to 5) is left out."""

    model: str
    min_score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthPrices:
    """Of a million tokens, in whatever currency the user thinks in."""

    input: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthSettings:
    """Section `synthesize` of a source, resolved. `api_key` is a reference, `${env:NAME}`, never a key."""

    endpoint: str  # ollama | http(s)://host[:port][/path], without /v1
    api: str  # ollama | openai
    model: str
    api_key: str | None
    per_document: int  # questions, or queries, that each document is asked for
    limit: int | None  # documents that are asked, drawn by `seed`; None: all
    instruction: str | None  # the user's own words, added to the prompt
    examples: tuple[SynthExample, ...]
    temperature: float | None  # None: not sent, the model's own
    seed: int | None  # None: not sent
    max_tokens: int  # of one reply
    max_document_chars: int  # longer documents are read up to here
    timeout_seconds: float  # of one reply
    concurrency: int  # requests at a time
    judge: SynthJudge | None
    round_trip: bool  # keep only what finds its own document first, by BM25 among all documents
    prices: SynthPrices | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthRequest:
    """What is wanted of a source's documents: `questions` with answer spans (RAFT), `queries` (embedding
    training), or `answers` (written RAFT answers to questions that are there already)."""

    task: str
    settings: SynthSettings
