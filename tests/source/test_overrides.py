from pathlib import Path
from typing import Any

import pytest

from ftspec.source.load import load_document

TEXT = "a: {b: 1, c: [x, {y: 1}]}\nd: text\n"


def load(folder: Path, *overrides: str) -> tuple[Any, list[str]]:
    path = folder / "spec.yaml"
    path.write_text(TEXT)
    document, found = load_document(path, overrides)
    assert document is not None
    return document, [item.code.id for item in found]


@pytest.mark.parametrize(
    ("override", "tree"),
    [
        ("a.b=2e-5", {"a": {"b": 2e-5, "c": ["x", {"y": 1}]}, "d": "text"}),
        ("a.c.0=no", {"a": {"b": 1, "c": ["no", {"y": 1}]}, "d": "text"}),
        ("a.c.1.y=[1, 2]", {"a": {"b": 1, "c": ["x", {"y": [1, 2]}]}, "d": "text"}),
        ("a.c.2=last", {"a": {"b": 1, "c": ["x", {"y": 1}, "last"]}, "d": "text"}),
        ("a={z: 1}", {"a": {"z": 1}, "d": "text"}),
        ("a.b=null", {"a": {"c": ["x", {"y": 1}]}, "d": "text"}),
        ("n.e.w=1", {"a": {"b": 1, "c": ["x", {"y": 1}]}, "d": "text", "n": {"e": {"w": 1}}}),
        ('a."k.k"=v=w', {"a": {"b": 1, "c": ["x", {"y": 1}], "k.k": "v=w"}, "d": "text"}),
        ("d='a: b'", {"a": {"b": 1, "c": ["x", {"y": 1}]}, "d": "a: b"}),
    ],
)
def test_value(tmp_path: Path, override: str, tree: Any) -> None:
    document, found = load(tmp_path, override)
    assert found == []
    assert document.tree == tree


@pytest.mark.parametrize(
    "override",
    [
        "", "=", "a", "a=1=".replace("=1=", ""), ".a=1", "a..b=1", "a.=1", " a=1", "a.c.9=1", "a.c.-1=1", "a.c.x=1",
        "d.e=1", "a.b=[", "a.b=*x", "a.b=!t 1", "extends=x.yaml", ".".join("a" * 5000) + "=1", "a.b={a: 1, a: 2}",
    ],
)  # fmt: skip
def test_bad_form(tmp_path: Path, override: str) -> None:
    document, found = load(tmp_path, override)
    assert found == ["FTS106"]
    assert document.damaged
    assert document.tree == {"a": {"b": 1, "c": ["x", {"y": 1}]}, "d": "text"}


def test_later_overrides_see_earlier_ones_and_places_count_them(tmp_path: Path) -> None:
    document, found = load(tmp_path, "a.b=2", "a.n={m: 3}", "a.n.k=4")
    assert found == []
    assert document.tree["a"]["n"] == {"m": 3, "k": 4}
    span = document.span(("a", "n", "m"))
    assert (span.path, span.line, span.column, span.excerpt) == ("--set", 2, 9, "a.n={m: 3}")
    assert document.span(("a", "n", "k"), key=True).column == 5
