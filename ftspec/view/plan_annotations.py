"""The warnings of a plan as findings in a file: for annotations in a pull request, and for code scanning."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ftspec.diagnostics.code import find_code
from ftspec.diagnostics.model import Diagnostic, Severity, Span
from ftspec.plan.model import Plan

_PLACE = re.compile(r"(?P<path>.+):(?P<line>\d+):(?P<column>\d+)")


def annotations(plan: Plan | None, path: str) -> Iterator[Diagnostic]:
    """One warning for each note of the plan, at the section of the spec that it is about."""
    for note in () if plan is None else plan.notes:
        code = find_code(note.code)
        if code is not None:
            yield Diagnostic(
                code=code, detail=note.detail, primary=_place(plan, code.id, path), severity=Severity.WARNING
            )


def in_files(found: Iterable[Diagnostic], folder: Path) -> Iterator[Diagnostic]:
    """Findings in data are named as the spec names the data; here as the working directory does. `folder` is
    that of the spec."""
    for each in found:
        span = each.primary
        if span is not None and not Path(span.path).exists() and (folder / span.path).is_file():
            path = (folder / span.path).as_posix()
            yield replace(each, primary=replace(span, path=path))
        else:
            yield each


def _place(plan: Plan | None, code: str, path: str) -> Span:
    """The first written value of the section that the code belongs to; else the first line of the spec."""
    assert plan is not None
    section = {"7": "data", "8": "evaluation", "4": "resources"}.get(code[3], "train")
    for field, origin in plan.origins.items():
        found = _PLACE.fullmatch(origin.place) if field.startswith(f"{section}.") else None
        if found is not None:
            return _span(found["path"], int(found["line"]), int(found["column"]))
    return _span(path, 1, 1)


def _span(path: str, line: int, column: int) -> Span:
    return Span(path=path, line=line, column=column, end_line=line, end_column=column + 1)
