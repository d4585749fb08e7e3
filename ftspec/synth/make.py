"""Asks the endpoint for everything that is not stored yet, and stores each answer as it comes.

A reply that fails its check goes back to the model with what is wrong, and is dropped after the last try.
What is dropped is stored too: a run that is repeated asks nothing twice. Where not one reply can be used,
the model is at fault rather than the documents: the run stops, and stores none of it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ftspec.plan.synth import ANSWERS, SynthRequest, SynthSettings
from ftspec.synth import faults
from ftspec.synth.account import Account, Phase, context_tokens, text_tokens
from ftspec.synth.ask import Ask, Result
from ftspec.synth.cache import Cache
from ftspec.synth.client import Client
from ftspec.synth.endpoint import Question, Reply, resolve_endpoint
from ftspec.synth.faults import EndpointError
from ftspec.synth.reply import find_object
from ftspec.synth.stored import (
    AnswerItem,
    Counts,
    Documents,
    answer_asks,
    answered_triples,
    answering_asks,
    judging_asks,
    lookup,
    question_asks,
    read_answers,
    read_candidates,
    read_questions,
    writing_asks,
)
from ftspec.synth.tasks import Checked, excerpt

REPLY_TRIES = 3  # with the fault shown to the model
GARBAGE_LIMIT = 5  # replies without a usable one among them, after which a run stops
FAILURES_IN_A_ROW = 3  # requests that failed for good, after which a run stops
_REPLY_CHARS_SHOWN = 2000  # of a faulty reply that goes back to the model
_FAULTS_SHOWN = 3

Observe = Callable[[Phase], None]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What one call of `make` carries around."""

    request: SynthRequest
    cache: Cache
    account: Account
    observe: Observe
    again: bool  # ask once more for what was dropped before
    client: Client
    failures: list[EndpointError] = field(default_factory=list)

    @property
    def settings(self) -> SynthSettings:
        return self.request.settings


def make_questions(
    request: SynthRequest,
    documents: Documents,
    cache: Cache,
    account: Account,
    *,
    observe: Observe = lambda phase: None,
    retry_dropped: bool = False,
    backoff_seconds: float = 1.0,
) -> Counts:
    """Asks for what `read_questions` lacks; returns its counts afterwards. Raises EndpointError with the
    cache as far as it came; requests that failed one by one are raised at the end. Ctrl-C leaves the same way."""

    async def work(run: _Run) -> None:
        await _phase(run, f"Write {request.task}", [ask for _, ask in writing_asks(request, documents)])
        if request.settings.judge is not None:
            candidates, _ = read_candidates(request, documents, cache)
            await _phase(run, "Judge", judging_asks(request.settings, (each.triple for each in candidates)))

    asks = question_asks(request, documents, cache)
    if not _is_stored(asks, f"Write {request.task}", cache, account, observe, retry_dropped):
        _go(work, request, cache, account, observe, retry_dropped, backoff_seconds)
    return read_questions(request, documents, cache)[1]


def make_answers(
    request: SynthRequest,
    items: Sequence[AnswerItem],
    cache: Cache,
    account: Account,
    *,
    observe: Observe = lambda phase: None,
    retry_dropped: bool = False,
    backoff_seconds: float = 1.0,
) -> Counts:
    """The same for written answers."""
    assert request.task == ANSWERS

    async def work(run: _Run) -> None:
        await _phase(run, "Write answers", answering_asks(request, items))
        if request.settings.judge is not None:
            plain = replace(request, settings=replace(request.settings, judge=None))
            answers, _ = read_answers(plain, items, cache)
            await _phase(run, "Judge", judging_asks(request.settings, answered_triples(items, answers)))

    asks = answer_asks(request, items, cache)
    if not _is_stored(asks, "Write answers", cache, account, observe, retry_dropped):
        _go(work, request, cache, account, observe, retry_dropped, backoff_seconds)
    return read_answers(request, items, cache)[1]


def missing_asks(asks: Iterable[Ask], cache: Cache, *, retry_dropped: bool = False) -> list[Ask]:
    """Each different ask that no answer is stored for, in order."""
    wanted: dict[str, Ask] = {}
    for ask in asks:
        result = lookup(cache, ask)
        if result is None or (retry_dropped and result.value is None):
            wanted.setdefault(ask.key, ask)
    return list(wanted.values())


def _is_stored(
    asks: Sequence[Ask], name: str, cache: Cache, account: Account, observe: Observe, retry_dropped: bool
) -> bool:
    """Nothing is left to ask. Then no endpoint is looked for, and no key needed."""
    if missing_asks(asks, cache, retry_dropped=retry_dropped):
        return False
    count = len({ask.key for ask in asks})
    account.phases.append(Phase(name=name, total=count, stored=count))
    observe(account.phases[-1])
    return True


def _go(
    work: Callable[[_Run], Coroutine[None, None, None]],
    request: SynthRequest,
    cache: Cache,
    account: Account,
    observe: Observe,
    again: bool,
    backoff_seconds: float,
) -> None:
    settings = request.settings
    endpoint = resolve_endpoint(settings)
    client = Client(
        endpoint,
        timeout_seconds=settings.timeout_seconds,
        concurrency=settings.concurrency,
        backoff_seconds=backoff_seconds,
    )
    run = _Run(request=request, cache=cache, account=account, observe=observe, again=again, client=client)

    async def session() -> None:
        async with client:
            await work(run)

    started = time.monotonic()
    try:
        asyncio.run(session())
    finally:
        account.seconds += time.monotonic() - started
        account.requests += client.requests
        account.damaged = cache.damaged
        cache.close()
    if run.failures:
        first = run.failures[0]
        count = len(run.failures)
        first.detail += f" ({count} request{'' if count == 1 else 's'} failed)"
        raise first


async def _phase(run: _Run, name: str, asks: Sequence[Ask]) -> None:
    """Answers every ask, `concurrency` at a time."""
    todo = missing_asks(asks, run.cache, retry_dropped=run.again)
    total = len({ask.key for ask in asks})
    phase = Phase(name=name, total=total, stored=total - len(todo))
    run.account.phases.append(phase)
    run.observe(phase)
    if not todo:
        return
    usable = any((found := lookup(run.cache, ask)) is not None and found.value is not None for ask in asks)
    gathering = _Gathering(run=run, phase=phase, usable=usable, context=context_tokens(asks, run.settings))
    queue = iter(todo)
    workers = [
        asyncio.create_task(gathering.work(queue)) for _ in range(min(run.settings.concurrency, len(todo)))
    ]
    try:
        done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in done:
        worker.result()  # raises what stopped it
    gathering.finish()


@dataclass(slots=True, kw_only=True)
class _Gathering:
    """The answers of one phase, as they come in."""

    run: _Run
    phase: Phase
    usable: bool  # a reply that could be used is known
    context: int
    unusable: list[tuple[Ask, Result]] = field(default_factory=list)  # while `usable` is False
    in_a_row: int = 0

    async def work(self, queue: Iterator[Ask]) -> None:
        for ask in queue:
            try:
                result = await self._answer(ask)
            except EndpointError as error:
                if error.fatal or self.in_a_row + 1 >= FAILURES_IN_A_ROW:
                    raise
                self.in_a_row += 1
                self.phase.failed += 1
                self.run.failures.append(error)
            else:
                self.in_a_row = 0
                self._keep(ask, result)
            self.run.observe(self.phase)

    def finish(self) -> None:
        """Raises where every reply was useless."""
        if self.unusable:
            self._stop()

    def _keep(self, ask: Ask, result: Result) -> None:
        self.phase.made += 1
        self.run.account.add(result, ask.recipe.model)
        if result.value is None:
            self.phase.dropped += 1
            if not self.usable:
                self.unusable.append((ask, result))
                if len(self.unusable) >= GARBAGE_LIMIT:
                    self._stop()
                return
        elif not self.usable:
            self.usable = True
            for earlier in self.unusable:
                self.run.cache.put(*earlier)
            self.unusable.clear()
        self.run.cache.put(ask, result)

    def _stop(self) -> None:
        ask, result = self.unusable[-1]
        raise faults.garbage(ask.recipe.model, len(self.unusable), result.dropped or "")

    async def _answer(self, ask: Ask) -> Result:
        """Up to three replies; the best of them that can be used. No reply is asked for twice in the same
        words: each try shows what was wrong, and moves the seed."""
        recipe = ask.recipe
        messages = ask.messages
        best: Checked | None = None
        wrong = ""
        tokens = [0, 0]
        counted = True
        served_by: str | None = None
        tries = 0
        while tries < REPLY_TRIES:
            reply = await self.run.client.chat(
                Question(
                    model=recipe.model,
                    messages=messages,
                    schema=recipe.task.schema,
                    temperature=recipe.temperature,
                    seed=None if recipe.seed is None else recipe.seed + tries,
                    max_tokens=recipe.max_tokens,
                    context_tokens=self.context,
                )
            )
            tries += 1
            served_by = reply.served_by or served_by
            counted &= _count(tokens, reply, messages)
            checked = _checked(ask, reply)
            if checked.value is not None and (best is None or _size(checked) > _size(best)):
                best = checked
            if checked.enough:
                break
            wrong = "; ".join(checked.faults[:_FAULTS_SHOWN])
            if best is None:
                wrong += f" in `{excerpt(reply.text, 100)}`"
            messages = [*ask.messages, *_correction(reply, checked)]
        return Result(
            value=None if best is None else best.value,
            dropped=wrong if best is None else None,
            attempts=tries,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            counted=counted,
            served_by=served_by,
        )


def _checked(ask: Ask, reply: Reply) -> Checked:
    value, fault = find_object(reply.text)
    if value is None:
        if reply.cut:
            fault = f"the reply was cut off at {ask.recipe.max_tokens} tokens: be shorter"
        return Checked(value=None, faults=(fault,), enough=False)
    return ask.recipe.task.check(value, ask.inputs)


def _correction(reply: Reply, checked: Checked) -> list[dict[str, str]]:
    wrong = "\n".join(f"- {fault}" for fault in checked.faults[:_FAULTS_SHOWN])
    return [
        {"role": "assistant", "content": reply.text[:_REPLY_CHARS_SHOWN] or "(nothing)"},
        {
            "role": "user",
            "content": f"This cannot be used:\n{wrong}\nReply again, with the JSON object only.",
        },
    ]


def _size(checked: Checked) -> int:
    assert checked.value is not None
    return max(len(item) if isinstance(item, list) else 1 for item in checked.value.values())


def _count(tokens: list[int], reply: Reply, messages: Sequence[dict[str, str]]) -> bool:
    """Adds the tokens of a reply; False where the server told none, and lengths stand in."""
    counted = reply.input_tokens is not None and reply.output_tokens is not None
    if counted:
        tokens[0] += reply.input_tokens or 0
        tokens[1] += reply.output_tokens or 0
    else:
        tokens[0] += text_tokens(sum(len(message["content"]) for message in messages))
        tokens[1] += text_tokens(len(reply.text))
    return counted
