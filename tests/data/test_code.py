from pathlib import Path

import pytest

from ftspec.data.code import first_sentence, open_code
from ftspec.data.globs import Globs
from ftspec.data.rows import Row, RowFault
from ftspec.plan.embedding import SourcePlan

SOURCE = '''
import os

@decorated
def plain(a):
    """Return the number of a thing. More words."""

    return len(a)  # ünïcode

class Holder:
    async def method(self):
        """Wait for the next message to arrive.

        Details.
        """
        return 1

    def short(self):
        """Too short."""
        return 2

    def empty(self):
        """Only a docstring and nothing else here."""

def joined(): "Ünï: do two things on one line"; return 3

if os.name == "nt":
    def plain(a):
        """Return the number on another system."""
        return 0
'''


def read(
    folder: Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> tuple[list[Row], list[RowFault]]:
    plan = SourcePlan(type="code", path=".", include=include, exclude=exclude)
    items = list(open_code(plan, folder, 0).rows(lambda: None))
    return [i for i in items if isinstance(i, Row)], [i for i in items if isinstance(i, RowFault)]


def test_functions_are_cut_out_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(SOURCE, encoding="utf-8")
    rows, faults = read(tmp_path)
    assert not faults
    assert [(row.query_id, row.query, row.group) for row in rows] == [
        ("pkg/__init__.py:plain", "Return the number of a thing", "pkg"),
        ("pkg/__init__.py:Holder.method", "Wait for the next message to arrive", "pkg"),
        ("pkg/__init__.py:joined", "Ünï: do two things on one line", "pkg"),
        ("pkg/__init__.py:plain#2", "Return the number on another system", "pkg"),
    ]
    assert rows[0].positive == "@decorated\ndef plain(a):\n    return len(a)  # ünïcode"
    assert rows[1].positive == "async def method(self):\n    return 1"
    assert rows[2].positive == "def joined(): return 3"


def test_unusable_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_bytes(SOURCE.replace("\n", "\r\n").encode())
    (tmp_path / "syntax.py").write_text("def (:\n")
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff'\n")
    (tmp_path / "null.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "huge.py").write_text("# x\n" * 600_000)
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    rows, faults = read(tmp_path)
    assert len(rows) == 4
    assert sorted(fault.file for fault in faults) == [
        "broken.py", "bytes.py", "huge.py", "loop", "null.py", "syntax.py",
    ]  # fmt: skip
    assert next(str(fault) for fault in faults if fault.file == "syntax.py").startswith(
        "syntax.py:1: not valid"
    )


def test_include_and_exclude(tmp_path: Path) -> None:
    for name in ("a/x.py", "a/tests/y.py", "b/z.py", ".venv/v.py", "env/pyvenv.cfg", "env/w.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SOURCE, encoding="utf-8")
    assert {row.group for row in read(tmp_path, exclude=("**/tests/**",))[0]} == {"a.x", "b.z"}
    assert {row.group for row in read(tmp_path, include=("a/**/*.py",))[0]} == {"a.x", "a.tests.y"}


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Open a file, e.g. a log. Then close it.", "Open a file, e.g. a log"),
        ("Return :class:`~os.PathLike` for ``name`` here", "Return os.PathLike for name here"),
        ("\n    First line of it\n    goes on here:\n\n    rest", "First line of it goes on here"),
        ("S.find(sub, start) -> int", None),
        ("Too few words", None),
        (">>> f(1) is an example only", None),
        ("Return half of \ud800 a surrogate pair", None),
    ],
)
def test_first_sentence(docstring: str, sentence: str | None) -> None:
    assert first_sentence(docstring) == sentence


def test_globs() -> None:
    globs = Globs(include=("**/*.py",), exclude=("**/test/**", "x?.py"))
    assert globs.matches("a.py")
    assert globs.matches("a/b/c.py")
    assert not globs.matches("test/c.py")
    assert not globs.matches("xy.py")
    assert globs.prunes("a/test")
    assert not globs.prunes("a/testing")


def test_standard_library() -> None:
    source = open_code(SourcePlan(type="code", path="stdlib"), Path(), 0)
    assert 300 < len(source.files) < 700
    assert not [file.name for file in source.files if "/test" in file.name or "site-packages" in file.name]
