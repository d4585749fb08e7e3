"""Tokens and money: what a run will take, and what it took."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ftspec.plan.synth import SynthPrices, SynthSettings
from ftspec.synth.ask import Ask, Result

CHARS_PER_TOKEN = 4.0  # of English; for estimates, and where a server counts nothing


@dataclass(slots=True, kw_only=True)
class Phase:
    """One kind of question within a run: writing, or judging."""

    name: str
    total: int = 0  # different requests that are wanted
    stored: int = 0  # of them answered by the cache
    made: int = 0  # answered in this run, usable or not
    dropped: int = 0  # of those made: no usable reply
    failed: int = 0  # not answered: the endpoint failed


@dataclass(slots=True, kw_only=True)
class Account:
    """What a run did so far; complete at any moment, also when it is stopped."""

    phases: list[Phase] = field(default_factory=list)
    requests: int = 0  # sent, tries of every kind counted
    input_tokens: int = 0
    output_tokens: int = 0
    counted: bool = True  # False: at least one reply came without numbers, and is estimated
    seconds: float = 0.0
    damaged: int = 0  # entries of the cache that could not be read, and were made again
    served_by: dict[str, str] = field(default_factory=dict)  # model asked for -> model that answered

    def add(self, result: Result, model: str) -> None:
        self.input_tokens += result.input_tokens
        self.output_tokens += result.output_tokens
        self.counted &= result.counted
        if result.served_by is not None and result.served_by != model:
            self.served_by[model] = result.served_by

    @property
    def made(self) -> int:
        return sum(phase.made for phase in self.phases)

    @property
    def dropped(self) -> int:
        return sum(phase.dropped for phase in self.phases)

    @property
    def failed(self) -> int:
        return sum(phase.failed for phase in self.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Before a run: requests and tokens, from lengths. Tries after faulty replies are not in it."""

    requests: int
    input_tokens: int
    output_tokens: int

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


def text_tokens(chars: int) -> int:
    return round(chars / CHARS_PER_TOKEN)


def estimate(asks: Iterable[Ask]) -> Estimate:
    """Of asks that no answer is stored for."""
    requests = input_chars = output_tokens = 0
    for ask in asks:
        requests += 1
        input_chars += len(ask.recipe.system) + len(ask.user)
        output_tokens += ask.recipe.task.reply_tokens * ask.recipe.count
    return Estimate(requests=requests, input_tokens=text_tokens(input_chars), output_tokens=output_tokens)


def cost(prices: SynthPrices | None, input_tokens: int, output_tokens: int) -> float | None:
    """In the currency of the prices; None without prices."""
    if prices is None:
        return None
    return (prices.input * input_tokens + prices.output * output_tokens) / 1e6


def context_tokens(asks: Iterable[Ask], settings: SynthSettings) -> int:
    """A context that holds the longest prompt, its reply, and a second try; a multiple of 1024, the same for
    all asks, because Ollama loads a model anew when it changes. Three bytes of UTF-8 count as a token."""
    longest = max((len((ask.recipe.system + ask.user).encode("utf-8", "replace")) for ask in asks), default=0)
    needed = longest // 3 + 2 * settings.max_tokens + 512
    return -(-needed // 1024) * 1024
