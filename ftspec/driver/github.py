"""GitHub's REST API, as far as a comment needs it: one request at a time, asked again where that can help.

No message holds the token, and it goes to the one address that was named: redirects are not followed.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import Code
from ftspec.diagnostics.model import Diagnostic
from ftspec.synth.endpoint import Secret

if TYPE_CHECKING:
    from types import TracebackType

    import httpx2

T = TypeVar("T")

DEFAULT_API = "https://api.github.com"
TOKEN_VARIABLE = "GITHUB_TOKEN"  # noqa: S105 - its name
API_VERSION = "2022-11-28"
CONNECT_SECONDS = 10.0
REPLY_SECONDS = 30.0
TRIES = 3
LONGEST_PAUSE_SECONDS = 60.0  # that a server may ask for
LARGEST_BODY_BYTES = 32_000_000
PAGE_SIZE = 100
LAST_PAGE = 100
_BUSY = {408, 429, 500, 502, 503, 504}
_IN_A_HEADER = re.compile(r"[!-~]+")


@dataclass(eq=False)
class GitHubError(Exception):
    """`again`: the same may succeed later. `status` 0: there was no reply."""

    code: Code
    detail: str
    help: str = ""
    status: int = 0
    again: bool = False
    wait_seconds: float = 0.0

    def diagnostic(self) -> Diagnostic:
        return Diagnostic(code=self.code, detail=self.detail, help=self.help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    body: Any  # of JSON; None where there is none
    links: str = ""  # the header that names the next page


def usable_token(text: str) -> Secret | None:
    """None for what no token is: nothing, or characters that no header holds."""
    text = text.strip()
    return Secret(text) if _IN_A_HEADER.fullmatch(text) else None


def wrong_address(api: str) -> str:
    """What is wrong with the address of an API; "" when a token may be sent there."""
    try:
        parts = urlsplit(api)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("https", "http") or not host:
        return "an address starts with https://"
    if parts.username is not None or parts.query or parts.fragment:
        return "an address holds neither user nor query"
    if parts.scheme == "http" and not _is_local(api):
        return "a token is not sent over http, which anyone on the way can read"
    return ""


def _is_local(api: str) -> bool:
    host = urlsplit(api).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(slots=True)
class GitHub:
    """Use as `with`. `pause_seconds` is the first pause between two tries; it doubles."""

    api: str
    token: Secret
    pause_seconds: float = 1.0
    _http: "httpx2.Client | None" = field(default=None, repr=False)

    def __enter__(self) -> Self:
        import httpx2

        self._http = httpx2.Client(
            headers={
                "user-agent": "ftspec",
                "accept": "application/vnd.github+json",
                "x-github-api-version": API_VERSION,
                "authorization": f"Bearer {self.token.reveal()}",
            },
            timeout=httpx2.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS),
            verify=httpx2.create_ssl_context(),
            trust_env=not _is_local(self.api),  # a proxy does not know our localhost
            follow_redirects=False,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        assert self._http is not None
        self._http.close()

    def insist(self, act: Callable[[], T]) -> T:
        """`act()`, again after a pause where that can help. Raises GitHubError."""
        for number in range(TRIES):
            try:
                return act()
            except GitHubError as error:
                if not error.again or number == TRIES - 1 or error.wait_seconds > LONGEST_PAUSE_SECONDS:
                    raise
                time.sleep(max(self.pause_seconds * 2**number, error.wait_seconds))
        raise AssertionError

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The objects of a list, however many pages it has."""
        mark = "&" if "?" in path else "?"
        for number in range(1, LAST_PAGE + 1):
            reply = self.send("GET", f"{path}{mark}per_page={PAGE_SIZE}&page={number}")
            if not isinstance(reply.body, list):
                raise GitHubError(
                    codes.COMMENT_REFUSED,
                    f"{self.api} does not answer as GitHub does",
                    "`--api` is the address of GitHub's REST API, for a server of your own …/api/v3",
                    status=reply.status,
                )
            yield from (item for item in reply.body if isinstance(item, dict))
            if len(reply.body) < PAGE_SIZE and 'rel="next"' not in reply.links:
                return

    def send(self, method: str, path: str, body: object = None) -> Reply:
        """One request. Raises GitHubError, for every status that is none of 2xx too."""
        import httpx2

        assert self._http is not None
        content = None if body is None else json.dumps(body).encode()
        headers = {} if content is None else {"content-type": "application/json"}
        received = bytearray()
        try:
            with self._http.stream(
                method, f"{self.api.rstrip('/')}/{path}", content=content, headers=headers
            ) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > LARGEST_BODY_BYTES:
                        raise self._unreachable("the reply does not end", again=False)
        except httpx2.TimeoutException:
            raise self._unreachable(f"no reply within {REPLY_SECONDS:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise self._unreachable(self._clean(str(error)) or type(error).__name__) from None
        value = None
        with suppress(ValueError, RecursionError):
            value = json.loads(bytes(received))
        if 200 <= response.status_code < 300:
            return Reply(
                status=response.status_code, body=value, links=str(response.headers.get("link") or "")
            )
        raise self._refused(response.status_code, value, response.headers)

    def _unreachable(self, reason: str, *, again: bool = True) -> GitHubError:
        return GitHubError(
            codes.GITHUB_UNREACHABLE,
            f"{self.api}: {reason}",
            "nothing was posted that this command knows of; run it again",
            again=again,
        )

    def _refused(self, status: int, value: Any, headers: Any) -> GitHubError:
        """What a bad status means. Words of the server are shown, without the token and cut."""
        said = f"status {status}{self._words(value)}"
        wait = _seconds(headers)
        if status in _BUSY or (status == 403 and (wait or headers.get("x-ratelimit-remaining") == "0")):
            code = codes.GITHUB_UNREACHABLE if status >= 500 or status == 408 else codes.COMMENT_REFUSED
            return GitHubError(
                code, f"{self.api}: {said}", "run it again later", status, again=True, wait_seconds=wait
            )
        if 300 <= status < 400:
            remedy = "the repository was renamed or moved: use its present name, or mend --api"
        else:
            remedy = _REMEDIES.get(status, "")
        return GitHubError(codes.COMMENT_REFUSED, said, remedy, status)

    def _words(self, value: Any) -> str:
        if not isinstance(value, dict) or not isinstance(value.get("message"), str):
            return ""
        words = [value["message"]]
        errors = value.get("errors")
        for each in errors if isinstance(errors, list) else ():
            word = each.get("message") if isinstance(each, dict) else each
            if isinstance(word, str):
                words.append(word)
        return ": " + self._clean("; ".join(words))[:500]

    def _clean(self, text: str) -> str:
        return self.token.hide_in(text)


_REMEDIES = {
    401: "the token is wrong or has expired: set GITHUB_TOKEN anew",
    403: "give the job `permissions: {pull-requests: write}`; a pull request from a fork gets a token that"
    " cannot write, so show the plan in the job's summary there",
    404: "check --repo and --pr, and that the token may see the repository",
    410: "comments are switched off for this repository",
}


def _seconds(headers: Any) -> float:
    """That a server asks to wait for; 0 where it asks for nothing."""
    for name, start in (("retry-after", 0.0), ("x-ratelimit-reset", time.time())):
        text = str(headers.get(name) or "").strip()
        if name == "x-ratelimit-reset" and headers.get("x-ratelimit-remaining") != "0":
            continue
        if text.isdecimal() and len(text) < 12:
            return max(0.0, float(text) - start)
    return 0.0
