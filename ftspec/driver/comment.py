"""One comment of a pull request that is written once and then kept up to date.

It is found by the hidden marker in its first line, and only among the comments of whoever the token belongs
to: another person's comment with the same marker is theirs to change later, and so is never taken for ours.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.github import TOKEN_VARIABLE, GitHub, GitHubError, usable_token, wrong_address

MAX_CHARACTERS = 65_536
_MARKER = re.compile(r"<!-- [\w.:/ -]{1,100} -->")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    action: str  # created | updated | unchanged
    url: str  # of the comment, for people


def is_repository(name: str) -> bool:
    """OWNER/NAME, and nothing that would make another path of it."""
    return _REPOSITORY.fullmatch(name) is not None and not {".", ".."} & set(name.split("/"))


def read_comment(path: Path) -> tuple[str | None, Diagnostics]:
    """The text of a file as a comment, its marker in the first line. FTS693, also without a marker: any other
    than its own would put it in the place of another comment, and without one it is never found again."""
    found = Diagnostics()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        found.add(codes.COMMENT_UNUSABLE, f"{path}: {reason}")
        return None, found
    text = text.replace("\r\n", "\n").strip("\n")
    if not text.strip():
        found.add(codes.COMMENT_UNUSABLE, f"{path} is empty")
        return None, found
    if marker_of(text) is None:
        found.add(
            codes.COMMENT_UNUSABLE,
            f"the first line of {path} is no hidden marker, by which the comment is found again",
            help="begin it with a line of its own such as <!-- ftspec:drift -->; `ftspec plan --format markdown` does",
        )
        return None, found
    if length(text) > MAX_CHARACTERS:
        found.add(
            codes.COMMENT_UNUSABLE,
            f"{path} has {length(text):,} characters, of at most {MAX_CHARACTERS:,}",
            help="`ftspec plan --all --format markdown` shortens itself, and says what it left out",
        )
        return None, found
    return text, found


def length(text: str) -> int:
    """As GitHub counts at worst: characters beyond the first plane are two."""
    return len(text.encode("utf-16-le", "replace")) // 2


def marker_of(text: str) -> str | None:
    """The hidden comment that is the first line."""
    line = text.partition("\n")[0].strip()
    return line if _MARKER.fullmatch(line) else None


def post_comment(
    text: str, *, repository: str, number: int, api: str, token: str, pause_seconds: float = 1.0
) -> tuple[Posted | None, Diagnostics]:
    """Write the comment, or change the one that is there. FTS690 to FTS692; nothing is posted twice on
    purpose: before a failed request is sent again, it is looked whether it went through."""
    found = Diagnostics()
    secret = usable_token(token)
    problem = wrong_address(api)
    if secret is None:
        state = "is empty" if not token.strip() else "holds characters that no token has"
        found.add(
            codes.NO_GITHUB_TOKEN,
            f"{TOKEN_VARIABLE} {state}",
            help="env: {GITHUB_TOKEN: ${{ github.token }}} in a workflow; `gh auth token` prints yours",
        )
    elif problem:
        found.add(codes.GITHUB_UNREACHABLE, f"--api {api}: {problem}")
    if found.has_errors:
        return None, found
    assert secret is not None
    try:
        with GitHub(api, secret, pause_seconds) as github:
            posted: Posted = github.insist(lambda: _post(github, text, repository, number))
    except GitHubError as error:
        found.items.append(error.diagnostic())
        return None, found
    return posted, found


def _post(github: GitHub, text: str, repository: str, number: int) -> Posted:
    marker = marker_of(text)
    assert marker is not None
    login = _login(github)
    mine = [
        each
        for each in github.pages(f"repos/{repository}/issues/{number}/comments")
        if _starts_with(each, marker) and _is_ours(each, login)
    ]
    for each in mine:
        if str(each.get("body")).replace("\r\n", "\n").strip() == text.strip():
            return Posted(action="unchanged", url=str(each.get("html_url") or ""))
        try:
            reply = github.send("PATCH", f"repos/{repository}/issues/comments/{each['id']}", {"body": text})
        except GitHubError as error:
            if error.status in (403, 404) and not error.again:  # of another app, or just deleted
                continue
            raise
        return Posted(action="updated", url=_url(reply.body))
    reply = github.send("POST", f"repos/{repository}/issues/{number}/comments", {"body": text})
    return Posted(action="created", url=_url(reply.body))


def _login(github: GitHub) -> str | None:
    """Whose token it is; None for that of an app, such as the one of a workflow, which may not ask."""
    try:
        reply = github.send("GET", "user")
    except GitHubError as error:
        if error.status in (403, 404) and not error.again:
            return None
        raise
    login = reply.body.get("login") if isinstance(reply.body, dict) else None
    return login if isinstance(login, str) else None


def _is_ours(comment: dict[str, Any], login: str | None) -> bool:
    """By the login of a person's token; with that of an app, by being an app's."""
    user = comment.get("user")
    if not isinstance(user, dict):
        return False
    return user.get("type") == "Bot" if login is None else user.get("login") == login


def _starts_with(comment: dict[str, Any], marker: str) -> bool:
    body = comment.get("body")
    return isinstance(body, str) and body.lstrip().startswith(marker) and isinstance(comment.get("id"), int)


def _url(body: Any) -> str:
    return str(body.get("html_url") or "") if isinstance(body, dict) else ""
