"""Settings and documents that tests of synthetic text share."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ftspec.plan.synth import SynthRequest, SynthSettings
from ftspec.spec.synthesize import Synthesize, synth_settings
from tests.synth.scripted_server import Script, Server, serving

DOCUMENTS = (
    ("d1", "The harbour office opens at nine and closes at five on every weekday."),
    ("d2", "Glaciers carve deep valleys while they move slowly towards the sea."),
    ("d3", "A violin has four strings, tuned in fifths from the low G upwards."),
    ("d4", "Sourdough bread rises because wild yeast ferments the flour overnight."),
)


def make_request(task: str = "questions", **settings: Any) -> SynthRequest:
    """A request at the keys of a spec; `api` and `endpoint` too."""
    section = Synthesize.model_validate({"model": "good", "timeout_seconds": 5.0, **settings})
    return SynthRequest(task=task, settings=synth_settings(section))


def at(request: SynthRequest, **changes: Any) -> SynthRequest:
    settings: SynthSettings = replace(request.settings, **changes)
    return replace(request, settings=settings)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """`serve(script)` starts a server that ends with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(script: Script, **more: Any) -> Server:
            return stack.enter_context(serving(script, **more))

        yield start


@pytest.fixture(autouse=True)
def _no_endpoints_of_the_tester(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OLLAMA_HOST",
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
