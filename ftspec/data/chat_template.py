"""The chat template of a base model, rendered as transformers' `apply_chat_template` renders it.

Templates are programs from strangers: they run in jinja2's immutable sandbox and see plain JSON only.
One thing differs, so that the same rows are the same tokens on every day: `strftime_now` tells a fixed date.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftspec.data.llm_rows import Message

FIXED_DATE = datetime(2024, 7, 26)  # what Llama's templates say where no date can be had
TEMPLATE_FILE = "chat_template.jinja"
MORE_TEMPLATES = "additional_chat_templates"
CONFIG_FILE = "tokenizer_config.json"
_REASONING = ("reasoning_content", "thinking", "reasoning")


class TemplateError(ValueError):
    """The template could not be read, or it refused these messages; the text is one line for people."""


class ChatTemplate:
    """`sources` are templates by name; "tool_use" serves rows with tools where it is there."""

    def __init__(self, sources: dict[str, str], special_tokens: dict[str, str]) -> None:
        """Raises TemplateError for a template that is no jinja."""
        self._special_tokens = special_tokens
        self._compiled = {name: _compile(source) for name, source in sources.items()}
        self.tells_date = any("strftime_now" in source for source in sources.values())

    def render(
        self, messages: Sequence[Message], tools: Sequence[Any] | None, *, add_generation_prompt: bool
    ) -> str:
        """Raises TemplateError when the template raises, for whatever reason."""
        name = "tool_use" if tools is not None and "tool_use" in self._compiled else "default"
        if name not in self._compiled:
            raise TemplateError(
                f"the base has several chat templates ({', '.join(sorted(self._compiled))}), none is `default`"
            )
        try:
            text = self._compiled[name].render(
                messages=[_with_reasoning(message) for message in messages],
                tools=None if tools is None else list(tools),
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except Exception as error:  # whatever a program of strangers raises
            raise TemplateError(_one_line(error)) from error
        return str(text)


def read_templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """The templates of a base by name; empty where it has none. Files win over `config`, the content of
    tokenizer_config.json. Raises OSError or UnicodeDecodeError."""
    found: dict[str, str] = {}
    if (folder / TEMPLATE_FILE).is_file():
        found["default"] = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    for file in sorted((folder / MORE_TEMPLATES).glob("*.jinja")):
        found[file.stem] = file.read_text(encoding="utf-8")
    if found:
        return found
    given = config.get("chat_template")
    if isinstance(given, str):
        return {"default": given}
    if isinstance(given, list):
        return {
            each["name"]: each["template"]
            for each in given
            if isinstance(each, dict)
            and isinstance(each.get("name"), str)
            and isinstance(each.get("template"), str)
        }
    return {}


def _with_reasoning(message: Message) -> dict[str, Any]:
    """As transformers does: one reasoning under the names that templates read, nothing that is null."""
    kept = {key: value for key, value in message.items() if value is not None}
    reasoning = next((kept[key] for key in _REASONING if key in kept), None)
    return kept if reasoning is None else {"thinking": reasoning, **kept, "reasoning_content": reasoning}


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


@lru_cache(maxsize=16)
def _compile(source: str) -> Any:
    """The environment is transformers' own (utils/chat_template_utils.py), without its render tracking."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}…{% endgeneration %}` marks what the assistant writes; here it only renders."""

        tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller: Any) -> Any:
            return caller()

    class Namespace(jinja2.utils.Namespace):
        """No attribute that begins with an underscore."""

        def __init__(*args: Any, **values: Any) -> None:
            self, rest = args[0], args[1:]
            attributes = dict(*rest, **values)
            for name in attributes:
                _check_name(name)
            jinja2.utils.Namespace.__init__(self, attributes)

        def __setitem__(self, name: str, value: Any) -> None:
            _check_name(name)
            super().__setitem__(name, value)

    def _check_name(name: object) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace may not hold {name!r}")

    class Dict:
        def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
            return dict(*args, **values)

        def fromkeys(self, *args: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def strftime_now(format: str) -> str:
        return FIXED_DATE.strftime(format)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(
        raise_exception=raise_exception, strftime_now=strftime_now, dict=Dict(), namespace=Namespace
    )
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise TemplateError(f"the template is not usable: {_one_line(error)}") from error
