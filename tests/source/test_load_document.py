from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.diagnostics.model import Diagnostics
from ftspec.source.load import Document, load_document
from ftspec.source.parse import parse_yaml
from ftspec.source.text import SourceText


def load(
    folder: Path, text: str, *overrides: str, name: str = "spec.yaml"
) -> tuple[Document | None, list[str]]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    document, found = load_document(path, overrides)
    return document, [item.code.id for item in found]


def test_tree_and_places(tmp_path: Path) -> None:
    document, found = load(tmp_path, "a:\n  b: [1, {c: no}]\n  d: 1e-5\n")
    assert document is not None
    assert found == []
    assert document.tree == {"a": {"b": [1, {"c": "no"}], "d": 1e-5}}
    assert document.folder == tmp_path
    c = document.span(("a", "b", 1, "c"))
    assert c is not None
    assert (c.line, c.column, c.end_line, c.end_column, c.excerpt) == (2, 14, 2, 16, "  b: [1, {c: no}]")
    key = document.span(("a", "d"), key=True)
    assert key is not None
    assert (key.line, key.column, key.end_column) == (3, 3, 4)


def test_block_mapping_is_shown_by_its_key_and_absent_places_by_their_ancestor(tmp_path: Path) -> None:
    document, _ = load(tmp_path, "a:\n  b: 1\nlist:\n  - x: 1\n    y: 2\n")
    assert document is not None
    for path in (("a",), ("a", "zz"), ("a", "zz", "y")):
        span = document.span(path)
        assert span is not None
        assert (span.line, span.column, span.end_column) == (1, 1, 2)
    item = document.span(("list", 0))
    assert item is not None
    assert (item.line, item.column) == (4, 5)
    assert document.has(("list", 0, "y"))
    assert not document.has(("list", 1))
    assert not document.has(("a", 0))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(("\ufeff# é\n日本: 1\nb: '\u2028'\nc: x\n".replace("\n", newline)).encode())
    document, found = load_document(path)
    assert document is not None
    assert not len(found)
    span = document.span(("c",))
    assert span is not None
    assert (span.line, span.column, span.excerpt) == (4, 4, "c: x")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "FTS102"),
        ("a:\n\tb: 1", "FTS102"),
        ('a: "\\UFFFFFFFF"', "FTS102"),
        ('a: "\\uD800"', "FTS102"),
        ("a: \x07", "FTS102"),
        ("[" * 5000, "FTS102"),
        ("{a: " * 5000, "FTS102"),
        ("- " * 5000, "FTS102"),
        ("a: 1\na: 2", "FTS103"),
        ("", "FTS104"),
        ("# x\n", "FTS104"),
        ("null", "FTS104"),
        ("text", "FTS104"),
        ("[1]", "FTS104"),
        ("a: 1\n---\nb: 2", "FTS104"),
        ("extends: []\na: 1", "FTS105"),
        ("extends: {a: 1}", "FTS105"),
        ("extends: [1]", "FTS105"),
        ("extends: nowhere.yaml", "FTS105"),
        ('extends: "a\\0b"', "FTS105"),
        ("extends: spec.yaml", "FTS105"),
        ("a: &x 1", "FTS107"),
        ("a: *x", "FTS107"),
        ("*x", "FTS107"),
        ("a: !!int 5", "FTS107"),
        ("a: {<<: {b: 1}}", "FTS107"),
        ("? [a]\n: 1", "FTS107"),
        ("? - a\n: 1", "FTS107"),
        ("%YAML 1.1\n---\na: no", "FTS107"),
        ("!t {a: 1}", "FTS107"),
    ],
)
def test_faults(tmp_path: Path, text: str, code: str) -> None:
    document, found = load(tmp_path, text)
    assert set(found) == {code}
    assert document is None or document.damaged


def test_all_duplicates_are_collected_and_the_first_value_stays(tmp_path: Path) -> None:
    document, found = load(tmp_path, "a: 1\na: {x: [1, 2]}\nb: {c: 1, c: 2}\na: 3\nd: 4\n")
    assert document is not None
    assert document.damaged
    assert found == ["FTS103"] * 3
    assert document.tree == {"a": 1, "b": {"c": 1}, "d": 4}


def test_unreadable_places_are_known_to_be_unknown(tmp_path: Path) -> None:
    document, _ = load(tmp_path, "a: *x\nb: {c: !t 1, d: 2}\n")
    assert document is not None
    assert not document.is_known(("a",))
    assert not document.is_known(("a", "below"))
    assert not document.is_known(("b", "c"))
    assert document.is_known(("b", "d"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: caf\xe9\n")
    (tmp_path / "big.yaml").write_bytes(b"a" * 1_000_001)
    for name in ("missing.yaml", ".", "latin.yaml", "big.yaml", "a\0b"):
        document, found = load_document(tmp_path / name)
        assert document is None
        assert [item.code.id for item in found] == ["FTS101"]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,\n\t \\x0uU7.é日\u2028\x85\x07~<=", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = Diagnostics()
    node = parse_yaml(SourceText(path="x", text=text), found)
    for item in found:
        assert item.primary is not None
        assert item.primary.line >= 1
        assert item.primary.column >= 1
    if node is not None:
        node.plain()
