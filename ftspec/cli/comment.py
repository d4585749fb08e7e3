"""`ftspec comment`"""

import os
from pathlib import Path

import click

from ftspec.cli.common import echo_json, fail, format_option


@click.command("comment")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--repo", metavar="OWNER/NAME", envvar="GITHUB_REPOSITORY", required=True, help="Of the pull request."
)
@click.option("--pr", "number", type=click.IntRange(min=1), required=True, help="Number of the pull request.")
@click.option(
    "--api", metavar="URL", help="Of a GitHub server of your own; default: GitHub's, or $GITHUB_API_URL."
)
@format_option("human", "json")
def comment_command(file: Path, repo: str, number: int, api: str | None, format_: str) -> None:
    """Post FILE (Markdown) as a comment of a pull request, or update the one that it posted before.

    The comment is found by the hidden marker in the first line of FILE, such as <!-- ftspec:plan -->, which
    plans as Markdown have. The token is read from the environment
    variable GITHUB_TOKEN; it needs `pull-requests: write`.

    \b
    Examples:
      ftspec plan --all --since origin/main --format markdown > plan.md
      ftspec comment plan.md --repo acme/search --pr 12
    """
    from ftspec.driver.comment import is_repository, post_comment, read_comment
    from ftspec.driver.github import DEFAULT_API, TOKEN_VARIABLE

    if not is_repository(repo):
        raise click.UsageError(f"--repo: {repo!r} is not OWNER/NAME")
    text, found = read_comment(file)
    if text is None:
        fail(found, format_=format_)
    posted, found = post_comment(
        text,
        repository=repo,
        number=number,
        api=api or os.environ.get("GITHUB_API_URL") or DEFAULT_API,
        token=os.environ.get(TOKEN_VARIABLE, ""),
    )
    if posted is None:
        fail(found, format_=format_)
    if format_ == "json":
        echo_json({"action": posted.action, "url": posted.url})
    else:
        click.echo(f"{posted.action}: {posted.url}")
