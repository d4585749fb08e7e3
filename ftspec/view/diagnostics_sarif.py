"""Diagnostics as SARIF 2.1.0 (OASIS standard), for code scanning."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePath, PureWindowsPath
from typing import Any
from urllib.parse import quote

from ftspec.diagnostics.code import Code, all_codes
from ftspec.diagnostics.model import Diagnostic, Span

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """One log with one run; the rules are the whole code table, so that their indices are stable."""
    codes = all_codes()
    index = {code.id: number for number, code in enumerate(codes)}
    run = {
        "tool": {
            "driver": {
                "name": "ftspec",
                "semanticVersion": version("ftspec"),
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, index) for item in diagnostics],
    }
    return (
        json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False)
        + "\n"
    )


def _rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.id,
        "shortDescription": {"text": code.summary},
        "fullDescription": {"text": " ".join(code.explanation.split()) or code.summary},
        "defaultConfiguration": {"level": code.severity},
    }


def _result(item: Diagnostic, index: dict[str, int]) -> dict[str, Any]:
    parts = [part for part in (item.detail, item.help) if part]
    result: dict[str, Any] = {
        "ruleId": item.code.id,
        "ruleIndex": index[item.code.id],
        "level": item.level.value,
        "message": {"text": f"{item.summary}: {'; '.join(parts)}" if parts else item.summary},
    }
    if item.primary is not None:
        result["locations"] = [_location(item.primary)]
    if item.related:
        result["relatedLocations"] = [
            _location(related.span) | {"id": number, "message": {"text": related.message}}
            for number, related in enumerate(item.related)
        ]
    return result


def _location(span: Span) -> dict[str, Any]:
    if span.path.startswith("--"):  # a place on the command line is in no file
        return {"logicalLocations": [{"fullyQualifiedName": f"{span.path} {span.excerpt}"}]}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(span.path)},
            "region": {
                "startLine": span.line,
                "startColumn": span.column,
                "endLine": span.end_line,
                "endColumn": span.end_column,
                "snippet": {"text": span.excerpt},
            },
        }
    }


def _uri(path: str) -> str:
    pure: PurePath = PureWindowsPath(path) if "\\" in path and "/" not in path else PurePath(path)
    if pure.is_absolute():
        return pure.as_uri()
    return quote(pure.as_posix(), safe="/")
