"""What commands about environments share."""

from collections.abc import Callable

import click

from ftspec.cli.common import F


def environment_option(name: str, *, required: bool = False, help: str = "") -> Callable[[F], F]:
    """An option that takes the name of an environment."""
    return click.option(
        name,
        "environment",
        metavar="ENVIRONMENT",
        required=required,
        callback=_checked,
        help=help or "Such as staging or production; any name will do.",
    )


def _checked(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from ftspec.store.promotion import is_environment_name

    if value is not None and not is_environment_name(value):
        raise click.BadParameter(
            "a name has lower-case letters, digits, `.`, `_` and `-`, at most 63 of them", context, parameter
        )
    return value


def split_name(text: str) -> tuple[str, str | None]:
    """`support-search@v3` → name and version; without `@` the version is left open."""
    name, at, version = text.partition("@")
    if not name or (at and not version):
        raise click.UsageError(f"{text!r} is not of the form NAME or NAME@VERSION")
    return name, version or None
