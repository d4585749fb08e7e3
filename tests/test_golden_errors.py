"""Each folder of golden/errors is a spec with faults and what a person is told about them.

    golden/errors/<code>-<slug>/spec.yaml     the spec; other files of the case lie beside it
                                args.txt      optional: one `--set` value a line
                                cmd.txt       optional: the arguments of `ftspec`, run in a copy of the folder;
                                              without it the spec is only loaded and checked
                                stderr.txt    the expected text; for a command also its exit code

`FTSPEC_GOLDEN=update` writes stderr.txt anew; it is refused where CI is set.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from ftspec.diagnostics.codes import find_code
from ftspec.source.load import load_document
from ftspec.spec.check import check_spec
from ftspec.view.diagnostics import render_diagnostics

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "errors"
CASES = sorted(path for path in FOLDER.iterdir() if path.is_dir())
WIDTH = 100


def _checked(monkeypatch: pytest.MonkeyPatch, case: Path, _: Path) -> str:
    monkeypatch.chdir(case)
    arguments = case / "args.txt"
    overrides = arguments.read_text(encoding="utf-8").splitlines() if arguments.exists() else []
    document, found = load_document(Path("spec.yaml"), overrides)
    if document is not None:
        spec, more = check_spec(document)
        found.extend(more)
        assert (spec is None) == found.has_errors
    return render_diagnostics(found, "human", width=WIDTH)


def _run(monkeypatch: pytest.MonkeyPatch, case: Path, scratch: Path) -> str:
    from click.testing import CliRunner

    from ftspec.cli.main import cli

    work = scratch / "case"
    shutil.copytree(case, work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    command = shlex.split((case / "cmd.txt").read_text(encoding="utf-8"))
    result = CliRunner().invoke(cli, command)
    unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
    assert unexpected is None, unexpected
    text = result.stderr.replace(str(work), ".")
    return f"{text.rstrip()}\n[exit {result.exit_code}]\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error(case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = re.fullmatch(r"(fts\d{3})-[a-z0-9-]+", case.name)
    assert name, "a case is named <code>-<slug>"
    assert find_code(name[1]) is not None
    text = (_run if (case / "cmd.txt").exists() else _checked)(monkeypatch, case, tmp_path)
    assert name[1].upper() in text, text
    assert str(FOLDER.parent.parent) not in text
    expected = case / "stderr.txt"
    if os.environ.get("FTSPEC_GOLDEN") == "update":
        assert not os.environ.get("CI"), "goldens are not rewritten in CI"
        expected.write_text(text, encoding="utf-8")
    assert expected.exists(), "run with FTSPEC_GOLDEN=update, and review what it wrote"
    assert text == expected.read_text(encoding="utf-8")


def test_every_case_is_complete() -> None:
    assert CASES
    assert not [case.name for case in CASES if not (case / "stderr.txt").exists()]
    assert not [path.name for path in FOLDER.iterdir() if not path.is_dir()]


@pytest.mark.parametrize("number", [1, 2])
def test_every_source_and_schema_code_has_a_case(number: int) -> None:
    from ftspec.diagnostics.codes import all_codes

    shown = {case.name[:6].upper() for case in CASES}
    wanted = {code.id for code in all_codes() if code.id.startswith(f"FTS{number}")}
    assert wanted <= shown
