"""`synthesize`: text that a language model writes from documents, made beforehand by `ftspec synth`."""

import re
from typing import Annotated, Literal

from pydantic import Field

from ftspec.plan.synth import SynthExample, SynthJudge, SynthPrices, SynthSettings
from ftspec.spec.base import Section

NonEmpty = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]
Price = Annotated[float, Field(ge=0)]

_OLLAMA_PORT = re.compile(r"^https?://[^/]*:11434(/|$)")


class Example(Section):
    """A document, and a question that it answers."""

    document: NonEmpty
    """Text of the document."""
    question: NonEmpty
    """What somebody would ask or search, and should find this document."""


class Judge(Section):
    """A model grades each question against its document from 1 to 5."""

    model: NonEmpty | None = None
    """The model that grades, at the same endpoint; default: the one that writes."""
    min_score: Annotated[int, Field(ge=1, le=5)] = 4
    """Lowest grade that is kept."""


class Prices(Section):
    """Of a million tokens, in any currency."""

    input: Price
    """What is read: prompts and documents."""
    output: Price
    """What is written."""


class Synthesize(Section):
    """Which model writes, where it answers, and what of it is kept. `ftspec synth SPEC` asks it; plans read
    what is stored, and never use the network."""

    endpoint: NonEmpty = "ollama"
    """`ollama` (localhost:11434, or OLLAMA_HOST), `openai` (OPENAI_BASE_URL), or the URL of a server."""
    api: Literal["auto", "ollama", "openai"] = "auto"
    """What the server speaks; `auto`: Ollama's own language at `ollama` and port 11434, that of OpenAI elsewhere."""
    model: NonEmpty
    """Name of the model, as the server lists it."""
    api_key: (
        Annotated[str, Field(json_schema_extra={"pattern": r"^\$\{env:[A-Za-z_][A-Za-z0-9_]*\}$"})] | None
    ) = None
    """A reference such as `${env:OPENAI_API_KEY}`; the key itself is refused."""
    per_document: Count = 3
    """Questions that each document is asked for."""
    limit: Count | None = None
    """At most this many documents are asked, drawn by `seed`."""
    instruction: NonEmpty | None = None
    """Who asks, about what, in which language: your own words, added to the prompt."""
    examples: list[Example] = Field(default_factory=list)
    """A few documents with a good question each, shown to the model."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.7
    """Freedom of the words; `null`: not sent."""
    seed: int | None = 13
    """Seed of the model's draws; `null`: not sent."""
    max_tokens: Count = 1024
    """Most tokens of one reply."""
    max_document_chars: Count = 8000
    """Longer documents are read up to here."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Longest wait for one reply."""
    concurrency: Annotated[int, Field(gt=0, le=256)] = 4
    """Requests at a time."""
    judge: Judge | None = None
    """Grade what was written, and keep the best."""
    round_trip: bool = False
    """Keep only questions that find their own document first, by BM25 among all documents."""
    prices: Prices | None = None
    """For the cost in money; without them tokens are counted alone."""


def synth_settings(section: Synthesize) -> SynthSettings:
    """The section in plan types."""
    api = section.api
    if api == "auto":
        # Through its OpenAI language Ollama cuts long prompts in silence: the context cannot be set there.
        is_ollama = section.endpoint == "ollama" or _OLLAMA_PORT.search(section.endpoint)
        api = "ollama" if is_ollama else "openai"
    judge, prices = section.judge, section.prices
    return SynthSettings(
        endpoint=section.endpoint,
        api=api,
        model=section.model,
        api_key=section.api_key,
        per_document=section.per_document,
        limit=section.limit,
        instruction=section.instruction,
        examples=tuple(
            SynthExample(document=each.document, question=each.question) for each in section.examples
        ),
        temperature=section.temperature,
        seed=section.seed,
        max_tokens=section.max_tokens,
        max_document_chars=section.max_document_chars,
        timeout_seconds=section.timeout_seconds,
        concurrency=section.concurrency,
        judge=None
        if judge is None
        else SynthJudge(model=judge.model or section.model, min_score=judge.min_score),
        round_trip=section.round_trip,
        prices=None if prices is None else SynthPrices(input=prices.input, output=prices.output),
    )
