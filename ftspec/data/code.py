"""Python functions of a folder or of the standard library, read without running any of it.

The first sentence of a docstring asks; the source of the function without that docstring answers.
The text is cut out of the file by positions, so the Python version that reads it changes nothing.
"""

import ast
import inspect
import io
import os
import re
import stat
import textwrap
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftspec.data.globs import Globs
from ftspec.data.paths import require, resolve_path, standard_library
from ftspec.data.relevance import evaluation_of
from ftspec.data.rows import Evaluation, FileDone, Row, RowFault, SourceFile, is_encodable
from ftspec.plan.embedding import SourcePlan

STDLIB = "stdlib"
MAX_FILE_BYTES = 2_000_000
MIN_QUERY_WORDS = 4
MAX_QUERY_CHARS = 300
_STDLIB_EXCLUDE = (
    "**/test/**", "**/tests/**", "**/idle_test/**", "**/site-packages/**", "**/dist-packages/**",
    "idlelib/**", "lib2to3/**", "encodings/**", "pydoc_data/**", "turtledemo/**", "ensurepip/_bundled/**",
    "config-*/**", "_sysconfigdata_*", "lib-dynload/**",
)  # fmt: skip
_PRUNED = frozenset({"__pycache__", "node_modules"})
_SENTENCE_END = re.compile(r"(?<![.\s]\w)(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)[.!?](?=\s|$)")
_ROLE = re.compile(r":[\w:+-]+:`~?\.?([^`<]+?)(?:\s*<[^`]*>)?`")
_QUOTES = re.compile(r"(`{1,2})([^`]+)\1")
_SIGNATURE = re.compile(r"^[\w.\[\], ]+\([^)]*\)\s*(->|--|:|$)")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    label: str
    root: Path
    files: tuple[SourceFile, ...]
    left_out: tuple[RowFault, ...]  # files and folders not even opened
    index: int
    skips_faults: bool = True

    @property
    def settings(self) -> dict[str, object]:
        return {"type": "code", "left_out": [str(fault) for fault in self.left_out]}

    def columns(self) -> tuple[str, ...]:
        return ()

    def rows(self, done: FileDone) -> Iterator[Row | RowFault]:
        """Rows in the order of file names; a file that cannot be parsed is one fault."""
        yield from self.left_out
        for file in self.files:
            yield from _read_file(file, self.index)
            done()

    def evaluation(self, done: FileDone) -> tuple[Evaluation, tuple[RowFault, ...]]:
        return evaluation_of(self.rows(done))


def open_code(plan: SourcePlan, folder: Path, index: int) -> CodeSource:
    """List the files of a code base (no file is opened). Raises FtspecError (FTS701)."""
    is_stdlib = plan.path == STDLIB
    root = standard_library() if is_stdlib else resolve_path(plan.path, folder)
    require(root, plan.path, folder=True)
    globs = Globs(
        include=plan.include or ("**/*.py",), exclude=plan.exclude + (_STDLIB_EXCLUDE if is_stdlib else ())
    )
    files: list[SourceFile] = []
    left_out: list[RowFault] = []
    _walk(str(root), "", globs, files, left_out)
    return CodeSource(label=plan.path, root=root, files=tuple(files), left_out=tuple(left_out), index=index)


def _walk(folder: str, prefix: str, globs: Globs, files: list[SourceFile], left_out: list[RowFault]) -> None:
    """Depth first in the order of names. Linked folders are not entered, so a loop cannot happen."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
            if prefix and any(entry.name == "pyvenv.cfg" for entry in listed):
                return  # a virtual environment: other people's code
    except OSError as error:
        left_out.append(RowFault(file=prefix or ".", line=0, reason=f"cannot be listed ({error.strerror})"))
        return
    for entry in listed:
        name = prefix + entry.name
        if not is_encodable(name):
            shown = name.encode("utf-8", "backslashreplace").decode()
            left_out.append(RowFault(file=shown, line=0, reason="its name is not UTF-8"))
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _PRUNED and entry.name[0] != "." and not globs.prunes(name):
                _walk(entry.path, name + "/", globs, files, left_out)
        elif entry.name.endswith((".py", ".pyi")) and globs.matches(name):
            reason = _unusable(entry)
            if reason:
                left_out.append(RowFault(file=name, line=0, reason=reason))
            else:
                files.append(SourceFile(name=name, path=Path(entry.path)))
        elif entry.is_symlink() and entry.is_dir() and globs.matches(name + "/__init__.py"):
            left_out.append(RowFault(file=name, line=0, reason="a linked folder is not followed"))


def _unusable(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:
        return "a broken link" if entry.is_symlink() else "cannot be read"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if status.st_size > MAX_FILE_BYTES:
        return f"larger than {MAX_FILE_BYTES / 1e6:g} MB"
    return ""


def _read_file(file: SourceFile, index: int) -> Iterator[Row | RowFault]:
    try:
        text = _decode(file.path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are the author's business
            tree = ast.parse(text)
    except SyntaxError as error:
        yield RowFault(file=file.name, line=error.lineno or 0, reason=f"not valid Python ({error.msg})")
        return
    except UnicodeDecodeError as error:
        yield RowFault(file=file.name, line=0, reason=f"not decodable as {error.encoding}")
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield RowFault(file=file.name, line=0, reason=f"cannot be parsed ({error})")
        return
    except OSError as error:
        yield RowFault(file=file.name, line=0, reason=f"cannot be read ({error.strerror})")
        return
    module = file.name.removesuffix(".pyi").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    lines = text.split("\n")
    seen: dict[str, int] = {}
    for qualified, node in _functions(tree, ""):
        docstring = _docstring(node)
        query = first_sentence(docstring.value.value) if docstring is not None else None  # type: ignore[attr-defined]
        if docstring is None or query is None:
            continue
        document = _without_docstring(lines, node, docstring)
        seen[qualified] = seen.get(qualified, 0) + 1
        name = f"{file.name}:{qualified}" + (f"#{seen[qualified]}" if seen[qualified] > 1 else "")
        yield Row(query_id=name, query=query, positive_id=name, positive=document, group=module, source=index)


def _decode(content: bytes) -> str:
    """The text by PEP 263, line ends as "\\n". Raises SyntaxError or UnicodeDecodeError."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods in source order, those inside `if` and `try` too; not local functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTION):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _functions(child, prefix)


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Expr | None:
    """The docstring statement of a function that has something else in its body too."""
    first = node.body[0]
    if len(node.body) > 1 and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def first_sentence(docstring: str) -> str | None:
    """The first sentence on one line without markup; None when it is too short to ask anything."""
    paragraph: list[str] = []
    for line in inspect.cleandoc(docstring).split("\n"):
        if not line.strip() or line.lstrip().startswith((">>>", ":param", "@param", "---", "===")):
            if paragraph:
                break
            continue
        paragraph.append(line)
    text = " ".join(" ".join(paragraph).split())
    text = _QUOTES.sub(r"\2", _ROLE.sub(r"\1", text))
    end = _SENTENCE_END.search(text)
    sentence = (text[: end.start()] if end else text).strip().rstrip(":").strip()
    if (
        len(sentence.split()) < MIN_QUERY_WORDS
        or len(sentence) > MAX_QUERY_CHARS
        or not is_encodable(sentence)
    ):
        return None
    return None if _SIGNATURE.match(sentence) else sentence


def _without_docstring(
    lines: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef, docstring: ast.Expr
) -> str:
    """The lines of a function, decorators included, dedented, with the docstring cut out."""
    assert node.end_lineno is not None
    assert docstring.end_lineno is not None
    assert docstring.end_col_offset is not None
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    before = _cut(lines[docstring.lineno - 1], docstring.col_offset)[0]
    after = _cut(lines[docstring.end_lineno - 1], docstring.end_col_offset)[1].lstrip().removeprefix(";")
    middle = (before + after.lstrip()).rstrip()
    kept = lines[start - 1 : docstring.lineno - 1]
    if middle.strip():
        kept.append(middle)
    rest = lines[docstring.end_lineno : node.end_lineno]
    while rest and not rest[0].strip():
        rest.pop(0)
    kept.extend(rest)
    return "\n".join(line.rstrip() for line in textwrap.dedent("\n".join(kept)).strip("\n").split("\n"))


def _cut(line: str, offset: int) -> tuple[str, str]:
    """Split a line at a column that counts UTF-8 bytes, as `ast` counts."""
    if line.isascii():
        return line[:offset], line[offset:]
    raw = line.encode()
    return raw[:offset].decode(), raw[offset:].decode()
