"""Diagnostics as JSON. `python -m ftspec.view.diagnostics_json` publishes the form in schemas/."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from ftspec.diagnostics.model import Diagnostic, Severity, Span
from ftspec.paths import shared_folder

FORMAT_VERSION = "1.0"
FILE_NAME = "diagnostics.schema.json"


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """One document with a final newline."""
    return json.dumps(diagnostics_document(diagnostics), indent=1, ensure_ascii=False) + "\n"


def diagnostics_document(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """The document as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "counts": {level.value: sum(item.level is level for item in diagnostics) for level in Severity},
        "diagnostics": [_entry(item) for item in diagnostics],
    }


def _entry(item: Diagnostic) -> dict[str, Any]:
    return {
        "code": item.code.id,
        "severity": item.level.value,
        "summary": item.summary,
        "detail": item.detail,
        "help": item.help,
        "primary": _span(item.primary) if item.primary is not None else None,
        "related": [{"message": related.message, "span": _span(related.span)} for related in item.related],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "path": span.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "excerpt": span.excerpt,
    }


def diagnostics_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the document."""
    text = {"type": "string"}
    place = {"type": "integer", "minimum": 1}

    def closed(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    span = closed(
        {
            "path": text | {"description": "File as it was named, or `--set`."},
            "line": place | {"description": "First line, from 1."},
            "column": place | {"description": "First character of the line, from 1, in code points."},
            "end_line": place | {"description": "Last line."},
            "end_column": place | {"description": "The column after the last character."},
            "excerpt": text | {"description": "Text of the first line."},
        }
    )
    level = {"enum": [level.value for level in Severity], "description": "How bad it is."}
    entry = closed(
        {
            "code": {
                "type": "string",
                "pattern": "^FTS[0-9]{3}$",
                "description": "Stable; `ftspec explain CODE`.",
            },
            "severity": level,
            "summary": text | {"description": "The constant sentence of the code."},
            "detail": text | {"description": "What is wrong here, with values; may be empty."},
            "help": text | {"description": "The remedy; may be empty."},
            "primary": {"anyOf": [{"$ref": "#/$defs/span"}, {"type": "null"}], "description": "Where it is."},
            "related": {
                "type": "array",
                "items": closed({"message": text, "span": {"$ref": "#/$defs/span"}}),
                "description": "Other places that belong to it.",
            },
        }
    )
    counts = {level.value: {"type": "integer", "minimum": 0} for level in Severity}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:diagnostics:1",
        "title": "ftspec diagnostics",
        "description": "Output of `--format json`.",
        **closed(
            {
                "format_version": {
                    "type": "string",
                    "pattern": "^1\\.[0-9]+$",
                    "description": "Minor: additive.",
                },
                "counts": closed(counts) | {"description": "Findings by severity."},
                "diagnostics": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/diagnostic"},
                    "description": "In order.",
                },
            }
        ),
        "$defs": {"span": span, "diagnostic": entry},
    }


def schema_text() -> str:
    return json.dumps(diagnostics_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    target = shared_folder("schemas") / FILE_NAME
    target.write_text(schema_text(), encoding="utf-8")
    sys.stdout.write(f"{target}\n")
