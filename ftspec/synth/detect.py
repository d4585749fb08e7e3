"""Which endpoints answer, and what models they have. Asked only where the user asks for it."""

import asyncio
import os
from dataclasses import dataclass

from ftspec.diagnostics.model import Diagnostic
from ftspec.plan.synth import SynthSettings
from ftspec.synth.client import Client
from ftspec.synth.endpoint import Endpoint, endpoint_at, hide_user, ollama_url, openai_url, resolve_endpoint
from ftspec.synth.faults import EndpointError

DETECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """`fault` is None where the endpoint listed its models."""

    name: str  # ollama | openai | the URL, as a spec would name it
    url: str
    api: str
    models: tuple[str, ...] = ()
    fault: Diagnostic | None = None

    def has(self, model: str) -> bool:
        """Ollama takes a name without a tag for `:latest`."""
        return model in self.models or (self.api == "ollama" and f"{model}:latest" in self.models)


def detect_endpoints() -> tuple[EndpointState, ...]:
    """Ollama at OLLAMA_HOST or its usual port; and the server of OPENAI_BASE_URL, where that is set."""
    found = [_detected("ollama", ollama_url(), "ollama", None)]
    if os.environ.get("OPENAI_BASE_URL", "").strip():
        key = "${env:OPENAI_API_KEY}" if os.environ.get("OPENAI_API_KEY", "").strip() else None
        found.append(_detected("openai", openai_url(), "openai", key))
    return tuple(found)


def check_endpoint(settings: SynthSettings) -> EndpointState:
    """The endpoint of a spec, with its key."""
    try:
        endpoint = resolve_endpoint(settings)
    except EndpointError as error:
        return EndpointState(
            name=hide_user(settings.endpoint),
            url=hide_user(settings.endpoint),
            api=settings.api,
            fault=error.diagnostic(),
        )
    return _look(settings.endpoint, endpoint)


def _detected(name: str, url: str, api: str, api_key: str | None) -> EndpointState:
    try:
        endpoint = endpoint_at(url, api, api_key)
    except EndpointError as error:
        return EndpointState(name=name, url=hide_user(url), api=api, fault=error.diagnostic())
    return _look(name, endpoint)


def _look(name: str, endpoint: Endpoint) -> EndpointState:
    async def ask() -> tuple[str, ...]:
        async with Client(endpoint, timeout_seconds=DETECT_SECONDS, concurrency=1) as client:
            return await client.models(DETECT_SECONDS)

    try:
        models = asyncio.run(ask())
    except EndpointError as error:
        return EndpointState(name=name, url=endpoint.url, api=endpoint.api, fault=error.diagnostic())
    return EndpointState(name=name, url=endpoint.url, api=endpoint.api, models=tuple(sorted(models)))
