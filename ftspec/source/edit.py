"""Changing values in the text of a spec while its comments and layout stay."""

from collections.abc import Mapping
from io import StringIO

from ruamel.yaml import YAML


def set_values(text: str, values: Mapping[str, str | None]) -> str:
    """The text with the values at dotted paths replaced; None removes the key. Each path must exist.
    Values are serialised, so quotes, newlines or `{{` in them stay values."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    for path, value in values.items():
        *parents, last = path.split(".")
        node = document
        for part in parents:
            node = node[int(part) if part.isdigit() else part]
        assert last in node, path
        if value is None:
            del node[last]
        else:
            node[last] = value
    out = StringIO()
    yaml.dump(document, out)
    return out.getvalue()
