"""What an endpoint can do wrong, each with its code and remedy."""

from dataclasses import dataclass, field

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import Code
from ftspec.diagnostics.model import Diagnostic


@dataclass(eq=False)
class EndpointError(Exception):
    """`again`: the same request may succeed later. `fatal`: every other request would fail too.
    `wait_seconds`: what the server asked for by Retry-After."""

    code: Code
    detail: str
    help: str = ""
    again: bool = False
    fatal: bool = True
    wait_seconds: float | None = None
    models: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.code.id}: {self.code.summary}: {self.detail}"

    def diagnostic(self) -> Diagnostic:
        return Diagnostic(code=self.code, detail=self.detail, help=self.help)


def not_running(url: str, reason: str, *, is_ollama: bool) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_NOT_RUNNING,
        f"{url}: {reason}",
        "start it with `ollama serve`, or set OLLAMA_HOST"
        if is_ollama
        else "start the server, or mend `endpoint`",
    )


def lost(url: str, reason: str, *, fatal: bool = False) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_LOST,
        f"{url}: {reason}",
        "what was finished is kept: run the same command again",
        again=True,
        fatal=fatal,
    )


def timed_out(url: str, seconds: float) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_TIMED_OUT,
        f"{url}: no reply within {seconds:g} s",
        "raise `timeout_seconds`, lower `concurrency` or `max_tokens`, or take a smaller model",
        again=True,
        fatal=False,
    )


def refused(url: str, status: int, message: str, api_key: str | None) -> EndpointError:
    said = f": {message}" if message else ""
    return EndpointError(
        codes.ENDPOINT_REFUSED,
        f"{url}: status {status}{said}",
        f"check the variable that `api_key: {api_key}` names, and what the key may do"
        if api_key
        else 'name a key: `api_key: "${env:NAME}"`',
    )


def key_not_set(name: str) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_REFUSED,
        f"the environment variable {name} is not set",
        f"set it: export {name}=…",
    )


def bad_key(name: str) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_REFUSED,
        f"the environment variable {name} holds characters that no key has",
        "set it to the key alone, without quotes, blanks or line breaks",
    )


def no_model(url: str, model: str, models: tuple[str, ...], *, is_ollama: bool) -> EndpointError:
    listed = ", ".join(models[:20]) + (f" and {len(models) - 20} more" if len(models) > 20 else "")
    help = (
        f"get it with `ollama pull {model}`, or name one that is there"
        if is_ollama
        else "name one that is there"
    )
    return EndpointError(
        codes.ENDPOINT_NO_MODEL,
        f"{url} has no model `{model}`; it has " + (listed or "none"),
        help,
        models=models,
    )


def failed(
    url: str, message: str, *, again: bool, fatal: bool = True, wait: float | None = None, help: str = ""
) -> EndpointError:
    return EndpointError(
        codes.ENDPOINT_FAILED,
        f"{url}: {message}",
        help or "read the log of the server; what was finished is kept",
        again=again,
        fatal=fatal,
        wait_seconds=wait,
    )


def not_api(url: str, reason: str, api: str) -> EndpointError:
    other = "openai" if api == "ollama" else "ollama"
    return EndpointError(
        codes.ENDPOINT_NOT_API,
        f"{url}: {reason}",
        f"mend `endpoint`; or is it `api: {other}`?",
    )


def no_trust(url: str, reason: str) -> EndpointError:
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        return EndpointError(
            codes.ENDPOINT_TLS, f"{url}: the server does not speak TLS there", "write `http://` instead"
        )
    return EndpointError(
        codes.ENDPOINT_TLS,
        f"{url}: {reason}",
        "use the name that the certificate is for, or let SSL_CERT_FILE name your authority's certificate",
    )


def garbage(model: str, dropped: int, last: str) -> EndpointError:
    return EndpointError(
        codes.SYNTH_GARBAGE,
        f"`{model}`: none of {dropped} request{'' if dropped == 1 else 's'} gave a usable reply; the last: {last}",
        "take a larger model, raise `max_tokens`, or see whether the server obeys JSON schemas",
    )
