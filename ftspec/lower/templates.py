"""Files made from a backend's templates: structure from the template, values through serializers."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def render(template: Path, values: Mapping[str, Any]) -> str:
    """The rendered text. A value that the template names but nobody gives is an error, not empty."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML; every value passes a serializer
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters = {
        "quote": shlex.quote,
        "words": shlex.join,
        "variable": variable_name,
        "code": inline_code,
        "comment": one_line,
    }
    return environment.get_template(template.name).render(**values)


def variable_name(name: str) -> str:
    """A name that a shell can export."""
    assert _VARIABLE.fullmatch(name), f"{name!r} is no name of an environment variable"
    return name


def one_line(text: str) -> str:
    """Text that cannot leave a comment: all white space and control characters become single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def inline_code(text: str) -> str:
    """Markdown inline code that shows the text as it is, whatever is in it."""
    text = one_line(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"
