"""`ftspec comment` against a stand-in for GitHub: FTS690, FTS691, FTS692 and FTS693, and one comment however often it is run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.driver import github as driver
from tests.gitops.github_server import BOT, Answer, GitHubServer, github

TOKEN = "ghs_0123456789abcdefSECRET"
TEXT = "<!-- ftspec:plan -->\n### plan\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    for name in ("GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver.time, "sleep", lambda seconds: None)
    with github() as running:
        yield running


def _comment(server: GitHubServer, folder: Path, text: str = TEXT, *more: str) -> Result:
    file = folder / "plan.md"
    file.write_text(text, encoding="utf-8")
    arguments = ["comment", str(file), "--repo", "acme/search", "--pr", "7", "--api", server.url, *more]
    result = CliRunner().invoke(cli, arguments)
    assert not isinstance(result.exception, Exception), result.exception
    assert TOKEN not in result.output
    assert "SECRET" not in result.output
    return result


def test_it_is_posted_then_updated_then_left(server: GitHubServer, tmp_path: Path) -> None:
    server.add("<!-- ftspec:plan -->\nnot mine", {"login": "mallory", "type": "User"})
    server.add("a word before <!-- ftspec:plan -->")
    first = _comment(server, tmp_path)
    assert first.exit_code == 0, first.output
    assert first.stdout == "created: https://example.test/acme/search/pull/7#issuecomment-3\n"
    assert _comment(server, tmp_path).stdout.startswith("unchanged: ")
    second = _comment(server, tmp_path, TEXT + "more ä\n", "--format", "json")
    assert '"action": "updated"' in second.stdout
    assert [each["body"].strip() for each in server.comments] == [
        "<!-- ftspec:plan -->\nnot mine", "a word before <!-- ftspec:plan -->", TEXT + "more ä",
    ]  # fmt: skip
    assert server.tokens == {f"Bearer {TOKEN}"}
    methods = [method for method, _ in server.requests]
    assert methods.count("POST") == methods.count("PATCH") == 1


def test_a_marker_of_ones_own_is_a_comment_of_its_own(server: GitHubServer, tmp_path: Path) -> None:
    _comment(server, tmp_path)
    _comment(server, tmp_path, "<!-- ftspec:drift -->\ndrift")
    _comment(server, tmp_path, "\ufeff<!-- ftspec:drift -->\r\nless drift")
    assert [each["body"] for each in server.comments] == [TEXT.strip(), "<!-- ftspec:drift -->\nless drift"]


@pytest.mark.parametrize(
    "text", ["no marker", "a word <!-- ftspec:plan -->", "<!-- a --> <!-- b -->", "<!-- -->\nx"]
)
def test_a_text_without_a_marker_takes_no_others_place(
    server: GitHubServer, tmp_path: Path, text: str
) -> None:
    server.add(TEXT)
    result = _comment(server, tmp_path, text)
    assert result.exit_code == 1
    assert "FTS693" in result.stderr
    assert "hidden marker" in " ".join(result.stderr.split())
    assert not server.requests


@pytest.mark.parametrize("page_size", [100, 30])
def test_it_is_found_on_a_later_page(server: GitHubServer, tmp_path: Path, page_size: int) -> None:
    server.page_size = page_size
    for number in range(230):
        server.add(f"comment {number}")
    server.add(TEXT + "old")
    assert _comment(server, tmp_path).stdout.startswith("updated: ")
    assert len(server.comments) == 231


def test_of_a_persons_token_only_that_persons(server: GitHubServer, tmp_path: Path) -> None:
    server.login = "ann"
    server.add(TEXT + "of a bot")
    server.add(TEXT + "of ann", {"login": "ann", "type": "User"})
    assert _comment(server, tmp_path).exit_code == 0
    assert [each["body"].strip() for each in server.comments] == [TEXT + "of a bot", TEXT.strip()]


def test_of_another_app_a_new_one(server: GitHubServer, tmp_path: Path) -> None:
    server.add(TEXT + "old", {"login": "other[bot]", "type": "Bot"})["locked"] = True
    assert _comment(server, tmp_path).stdout.startswith("created: ")
    assert server.comments[1]["user"] == BOT


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "expired"), (403, "pull-requests: write"), (404, "--repo and --pr"), (410, "switched off"),
     (422, "status 422: no; Body is bad"), (301, "renamed")],
)  # fmt: skip
def test_refusals_say_what_to_do(server: GitHubServer, tmp_path: Path, status: int, words: str) -> None:
    said = {"message": "no", "errors": [{"message": f"Body is bad {TOKEN}"}, "text", 3]}
    moved = {"location": "http://127.0.0.1:1/stolen"}
    server.fault = lambda method, path, count: None if path == "/user" else Answer(status, said, moved)
    result = _comment(server, tmp_path)
    assert result.exit_code == 1
    assert "FTS692" in result.stderr
    assert words in " ".join(result.stderr.split())
    assert len(server.requests) == 2


def test_a_bad_token_is_said_at_once(server: GitHubServer, tmp_path: Path) -> None:
    server.fault = lambda method, path, count: Answer(401, {"message": "Bad credentials"})
    assert "status 401: Bad credentials" in _comment(server, tmp_path).stderr
    assert server.requests == [("GET", "/user")]


def test_nothing_is_posted_twice_where_the_reply_was_lost(server: GitHubServer, tmp_path: Path) -> None:
    lost = [Answer(502, None, after=True), Answer(0, hang_up=True)]
    server.fault = lambda method, path, count: lost.pop(0) if method == "POST" and lost else None
    result = _comment(server, tmp_path)
    assert result.stdout.startswith("unchanged: "), result.output
    assert len(server.comments) == 1


@pytest.mark.parametrize("answer", [Answer(503, {"message": "busy"}), Answer(0, hang_up=True),
                                    Answer(403, {"message": "slow down"}, {"retry-after": "1"}),
                                    Answer(429, {"message": "slow down"})])  # fmt: skip
def test_it_is_tried_again_and_then_given_up(server: GitHubServer, tmp_path: Path, answer: Answer) -> None:
    server.fault = lambda method, path, count: answer if count < 2 else None
    assert _comment(server, tmp_path).stdout.startswith("created: ")
    server.requests.clear()
    server.fault = lambda method, path, count: answer
    result = _comment(server, tmp_path)
    assert result.exit_code == 1
    assert "FTS69" in result.stderr
    assert len(server.requests) == driver.TRIES


def test_a_server_that_wants_a_long_pause_is_not_waited_for(server: GitHubServer, tmp_path: Path) -> None:
    server.fault = lambda method, path, count: Answer(429, {"message": "later"}, {"retry-after": "3600"})
    assert _comment(server, tmp_path).exit_code == 1
    assert len(server.requests) == 1


def test_offline(server: GitHubServer, tmp_path: Path) -> None:
    result = _comment(server, tmp_path, TEXT, "--api", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "FTS691" in result.stderr


def test_something_else_answers(server: GitHubServer, tmp_path: Path) -> None:
    server.fault = lambda method, path, count: Answer(200, {"hello": 1})
    assert "does not answer as GitHub does" in " ".join(_comment(server, tmp_path).stderr.split())


@pytest.mark.parametrize(
    "api", ["http://example.test", "ftp://127.0.0.1", "https://me:pw@example.test", "https://", "x", "https://[",
            "https://example.test:99999", "https://example.test/?a=1"]
)  # fmt: skip
def test_addresses_that_get_no_token(server: GitHubServer, tmp_path: Path, api: str) -> None:
    result = _comment(server, tmp_path, TEXT, "--api", api)
    assert result.exit_code == 1
    assert "FTS691" in result.stderr
    assert not server.requests


@pytest.mark.parametrize("token", [None, "", " \n", "two words", "ä"])
def test_no_token(
    server: GitHubServer, tmp_path: Path, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN") if token is None else monkeypatch.setenv("GITHUB_TOKEN", token)
    result = _comment(server, tmp_path)
    assert "FTS690" in result.stderr
    assert not server.requests


@pytest.mark.parametrize("text", ["", "\n \n", TEXT + "x" * 65_537, TEXT + "🙂" * 33_000])
def test_texts_that_are_no_comment(server: GitHubServer, tmp_path: Path, text: str) -> None:
    assert "FTS693" in _comment(server, tmp_path, text).stderr
    assert not server.requests


def test_files_that_are_none(server: GitHubServer, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("gone", "binary"):
        arguments = ["comment", str(tmp_path / name), "--repo", "acme/search", "--pr", "7"]
        assert "FTS693" in CliRunner().invoke(cli, arguments).stderr


@pytest.mark.parametrize(
    "repo", ["acme", "acme/../x", "../..", "acme/x?y", "https://github.com/a/b", "a/b/c", ""]
)
def test_names_that_are_no_repository(server: GitHubServer, tmp_path: Path, repo: str) -> None:
    assert _comment(server, tmp_path, TEXT, "--repo", repo).exit_code == 64
    assert not server.requests


def test_the_workflow_names_repository_and_api(
    server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/search")
    monkeypatch.setenv("GITHUB_API_URL", server.url)
    (tmp_path / "plan.md").write_text(TEXT, encoding="utf-8")
    result = CliRunner().invoke(cli, ["comment", str(tmp_path / "plan.md"), "--pr", "7"])
    assert result.stdout.startswith("created"), result.output
    assert os.environ["GITHUB_TOKEN"] == TOKEN
