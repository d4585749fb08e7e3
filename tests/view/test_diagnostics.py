import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import all_codes
from ftspec.diagnostics.model import Diagnostic, Related, Severity, Span
from ftspec.paths import shared_folder
from ftspec.view.diagnostics import FORMATS, render_code, render_diagnostics
from ftspec.view.diagnostics_json import FILE_NAME, schema_text
from ftspec.view.safe_text import cell_width


def span(
    excerpt: str, column: int, end_column: int, *, line: int = 14, path: str = "specs/support.yaml"
) -> Span:
    return Span(path=path, line=line, column=column, end_line=line, end_column=end_column, excerpt=excerpt)


UNKNOWN = Diagnostic(
    code=codes.UNKNOWN_KEY,
    detail="`learing_rate` is not a key of `train`",
    primary=span("    learing_rate: 2e-5", 5, 17),
    help="did you mean `learning_rate`?",
)


def human(item: Diagnostic, width: int | None = None) -> str:
    return render_diagnostics([item], "human", width=width)


def test_looks_like_a_compiler() -> None:
    assert human(UNKNOWN) == (
        "error[FTS203]: unknown key\n"
        "  --> specs/support.yaml:14:5\n"
        "   |\n"
        "14 |     learing_rate: 2e-5\n"
        "   |     ^^^^^^^^^^^^ `learing_rate` is not a key of `train`\n"
        "   = help: did you mean `learning_rate`?\n"
    )


def test_several_are_counted() -> None:
    warning = Diagnostic(code=codes.FEW_QUERIES, detail="12 queries\nin two lines")
    text = render_diagnostics([UNKNOWN, warning, warning], "human")
    assert text.endswith("\n1 error, 2 warnings\n")
    assert "warning[FTS803]: few held-out queries\n  = 12 queries\n    in two lines\n" in text
    assert render_diagnostics([], "human") == ""


def underlined(text: str) -> str:
    """What stands above the underline, cell by cell."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if "^" in line)
    cells = "".join(
        character if cell_width(character) < 2 else character + "\0" for character in lines[at - 1]
    )
    marks = lines[at].index("^"), lines[at].rindex("^") + 1
    return cells[slice(*marks)].replace("\0", "")


@pytest.mark.parametrize(
    ("excerpt", "column", "end", "shown"),
    [
        ("  ключ: 1", 3, 7, "ключ"),
        ('"日本語": x', 8, 9, "x"),
        ('"日本語": x', 1, 6, '"日本語"'),
        ("\tkey: 1", 2, 5, "key"),
        ("a: 1 # " + "x" * 300, 1, 2, "a"),
        ("x" * 300 + ": bad", 303, 306, "bad"),
        ("x" * 300, 1, 301, None),
        ("日" * 200 + "!", 201, 202, "!"),
        ("", 1, 2, None),
        ("short", 40, 50, None),
        ("a: \x1b[31m", 4, 8, "\\x1b[31"),
    ],
)
@pytest.mark.parametrize("width", [None, 60, 80])
def test_underline(excerpt: str, column: int, end: int, shown: str | None, width: int | None) -> None:
    text = human(Diagnostic(code=codes.BAD_VALUE, primary=span(excerpt, column, end)), width)
    assert all(cell_width(line) <= (width or 120) for line in text.splitlines())
    if shown is not None:
        assert underlined(text) == shown


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=200), st.integers(1, 250), st.integers(1, 250), st.sampled_from(FORMATS), st.booleans()
)
def test_no_text_steers_the_terminal(text: str, column: int, end: int, format: str, color: bool) -> None:
    item = Diagnostic(
        code=codes.BAD_VALUE, detail=text, help=text, primary=span(text, column, end, path=text or "x"),
        related=(Related(span=span(text, end, column), message=text),),
    )  # fmt: skip
    out = render_diagnostics([item], format, color=color, width=80)
    if format == "human":
        out = re.sub(r"\x1b\[[0-9;]*m", "", out) if color else out
        assert all(character == "\n" or character.isprintable() for character in out)
    if format in ("json", "sarif"):
        json.loads(out)
    if format == "github":
        assert len(out.rstrip("\n").split("\n")) == 1


def test_colour_changes_nothing_but_colour() -> None:
    coloured = render_diagnostics([UNKNOWN, UNKNOWN], "human", color=True)
    assert "\x1b[" in coloured
    plain = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).split("\n"))
    assert plain == render_diagnostics([UNKNOWN, UNKNOWN], "human")


def test_json_matches_its_published_schema() -> None:
    published = (shared_folder("schemas") / FILE_NAME).read_text(encoding="utf-8")
    assert published == schema_text(), "run `python -m ftspec.view.diagnostics_json`"
    related = Related(span=span("a: 1", 1, 2), message="first here")
    items = [UNKNOWN, Diagnostic(code=codes.FEW_QUERIES, related=(related,), severity=Severity.NOTE)]
    document = json.loads(render_diagnostics(items, "json"))
    Draft202012Validator.check_schema(json.loads(published))
    Draft202012Validator(json.loads(published)).validate(document)
    assert document["counts"] == {"error": 1, "warning": 0, "note": 1}
    assert document["diagnostics"][0]["primary"]["line"] == 14


def test_sarif() -> None:
    odd = Diagnostic(code=codes.BAD_VALUE, primary=span("a=1", 1, 2, path="--set"))
    spaced = Diagnostic(code=codes.BAD_VALUE, primary=span("a: 1", 1, 2, path="my specs/ü#1.yaml"))
    log = json.loads(render_diagnostics([UNKNOWN, odd, spaced], "sarif"))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "specs/support.yaml"
    assert (place["region"]["startLine"], place["region"]["startColumn"], place["region"]["endColumn"]) == (
        14,
        5,
        17,
    )
    assert "physicalLocation" not in run["results"][1]["locations"][0]
    uri = run["results"][2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "my%20specs/%C3%BC%231.yaml"


def test_github() -> None:
    assert render_diagnostics([UNKNOWN], "github") == (
        "::error file=specs/support.yaml,line=14,endLine=14,col=5,endColumn=16,title=FTS203%3A unknown key::"
        "`learing_rate` is not a key of `train`%0Ahelp: did you mean `learning_rate`?\n"
    )


def test_every_code_explains_itself() -> None:
    for code in all_codes():
        text = render_code(code)
        assert text.startswith(f"{code.id} ({code.severity}): {code.summary}\n")
        assert code.explanation.strip()
