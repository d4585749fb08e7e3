"""Each folder of golden/errors is a spec with faults and what a person is told about them.

    golden/errors/<code>-<slug>/spec.yaml     the spec; other files of the case lie beside it
                                args.txt      optional: one `--set` value a line
                                cmd.txt       optional: the arguments of `ftspec`, run in a copy of the folder;
                                              without it the spec is only loaded and checked
                                stderr.txt    the expected text; for a command also the warnings of the plan
                                              that it shows, and its exit code

Lines before the last one of cmd.txt prepare: commands that end well, or one of the words in `_PREPARE`.

`FTSPEC_GOLDEN=update` writes stderr.txt anew; it is refused where CI is set.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from ftspec.diagnostics.code import all_codes, find_code
from ftspec.paths import shared_folder
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


def _replace(_: pytest.MonkeyPatch, file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new), encoding="utf-8")


def _copy(_: pytest.MonkeyPatch, source: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _setenv(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)


def _example(_: pytest.MonkeyPatch, name: str) -> None:
    """A folder of specs/data, such as the base model of the examples."""
    shutil.copytree(shared_folder("specs") / "data" / name, name)


_PREPARE = {"example": _example, "replace": _replace, "copy": _copy, "setenv": _setenv}


def _run(monkeypatch: pytest.MonkeyPatch, case: Path, scratch: Path) -> str:
    from click.testing import CliRunner

    from ftspec.cli.main import cli

    work = scratch / "case"
    shutil.copytree(case, work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("HF_HUB_CACHE", "hub")  # of the tester's machine nothing is shown
    *before, command = (shlex.split(line) for line in (case / "cmd.txt").read_text("utf-8").splitlines())
    for word, *arguments in before:
        if word in _PREPARE:
            _PREPARE[word](monkeypatch, *arguments)
        else:
            assert CliRunner().invoke(cli, [word, *arguments]).exit_code == 0
    result = CliRunner().invoke(cli, command)
    unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
    assert unexpected is None, unexpected
    assert str(scratch) not in result.output, result.output
    _, heading, warnings = result.stdout.partition("\nWarnings\n")  # of a plan that can be made
    texts = (result.stderr.rstrip(), (heading + warnings).strip(), f"[exit {result.exit_code}]")
    return "\n".join(text for text in texts if text) + "\n"


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


# Codes that no folder with a spec and a command can show: what they need, and the test that shows them.
ELSEWHERE = {
    "FTS313": ("a base that is no decoder", "models/test_decoder_facts.py"),
    "FTS315": ("a registered model as base", "resolve/test_warm_start.py"),
    "FTS303": ("a package that carries other weights", "models/test_find_model.py"),
    "FTS407": ("a backend that approximates a feature; none that ships does", "passes/test_optimise.py"),
    "FTS502": ("a fault of a backend that its own tests find first", "lower/test_lower.py"),
    "FTS504": ("a base for text", "driver/test_eject.py"),
    "FTS601": ("another process", "store/test_leases.py"),
    "FTS624": ("a process that was killed", "store/test_leases.py"),
    "FTS625": ("a process that another one displaced", "store/test_leases.py"),
    "FTS626": ("a project", "store/test_leases.py"),
    "FTS605": ("an environment without the packages", "driver/test_refusals.py"),
    "FTS606": ("a program that crashes", "run/test_launch.py"),
    "FTS607": ("training", "backends/test_train.py"),
    "FTS608": ("training", "backends/test_train.py"),
    "FTS609": ("training", "backends/test_train.py"),
    "FTS650": ("training", "backends/test_trl_train.py"),
    "FTS651": ("training", "backends/test_llm_helpers.py"),
    "FTS652": ("training", "backends/test_trl_train.py"),
    "FTS653": ("training", "backends/test_trl_train.py"),
    "FTS655": ("a checkpoint of another version", "backends/test_last_state.py"),
    "FTS610": ("training", "run/test_launch.py"),
    "FTS612": ("a finished run", "store/test_artifacts.py"),
    "FTS613": ("a ledger", "store/test_commands.py"),
    "FTS617": ("a full disk", "driver/test_refusals.py"),
    "FTS618": ("training", "backends/test_train.py"),
    "FTS621": ("a finished run", "store/test_commands.py"),
    "FTS623": ("a started run", "run/test_events.py"),
    "FTS634": ("a plan of another machine", "driver/test_contract.py"),
    "FTS636": ("a run", "driver/test_contract.py"),
    "FTS635": ("a repository of git", "driver/test_contract.py"),
    "FTS687": ("a finished run", "e2e/test_revert.py"),
    "FTS688": ("two finished runs", "e2e/test_extend.py"),
    "FTS640": ("a registered model", "serve/test_serve.py"),
    "FTS641": ("a registered adapter", "driver/test_merge.py"),
    "FTS642": ("a registered adapter", "store/test_registry_llm.py"),
    "FTS643": ("a registered adapter", "driver/test_merge.py"),
    "FTS654": ("a registered adapter", "driver/test_merge.py"),
    "FTS710": ("a base for text", "data/test_llm_faults.py"),
    "FTS711": ("a base for text", "data/test_llm_faults.py"),
    "FTS712": ("a base for text", "data/test_llm_faults.py"),
    "FTS713": ("a base for text", "data/test_llm_faults.py"),
    "FTS714": ("a base for text", "data/test_llm_faults.py"),
    "FTS715": ("a base for text", "data/test_raft.py"),
    "FTS716": ("a base for text", "data/test_llm_faults.py"),
    "FTS717": ("a base for text", "data/test_raft.py"),
    "FTS719": ("a base with control tokens", "data/test_llm_faults.py"),
    "FTS718": ("a base for text", "data/test_llm_faults.py"),
    **{
        f"FTS{number}": ("a server that fails in this way", "synth/test_faults.py")
        for number in (752, 754, 755, 756, 757, 758, 759)
    },
    "FTS660": ("an index that lacks a package", "driver/test_backends.py"),
    **{f"FTS{number}": ("a repository of git", "driver/test_git.py") for number in (670, 671, 672)},
    "FTS673": ("two files of different kinds", "driver/test_diff.py"),
    "FTS674": ("a repository of git", "gitops/test_plan_all.py"),
    **{f"FTS{number}": ("a server like GitHub's", "gitops/test_comment.py") for number in range(690, 694)},
    "FTS675": ("two histories of git", "driver/test_git.py"),
    "FTS680": ("a promoted model", "store/test_environments.py"),
    "FTS681": ("a promoted model", "driver/test_promote.py"),
    "FTS689": ("a fresh clone", "driver/test_fresh_clone.py"),
    "FTS695": ("a promoted model", "store/test_environments.py"),
    "FTS682": ("a promoted model", "driver/test_promote.py"),
    "FTS683": ("a finished run", "driver/test_promote.py"),
    "FTS684": ("a promoted model", "driver/test_promote.py"),
    "FTS685": ("a promoted model", "driver/test_promote.py"),
    "FTS686": ("a promoted model", "store/test_environments.py"),
    "FTS694": ("a model that was made", "gitops/test_findings.py"),
    "FTS801": ("a finished run: a verdict is a result, told by exit code 5", "driver/test_refusals.py"),
    "FTS802": ("a finished run: a verdict is a result, told by exit code 6", "driver/test_refusals.py"),
    "FTS805": ("two splits of the same data", "driver/test_promote.py"),
    "FTS804": ("held-out rows with answers", "evaluate/test_llm_evaluate.py"),
}


def test_every_code_has_a_case() -> None:
    shown = {case.name[:6].upper() for case in CASES}
    known = {code.id for code in all_codes()}
    assert not shown & ELSEWHERE.keys(), "shown by a golden after all"
    assert known == shown | ELSEWHERE.keys()


@pytest.mark.parametrize("code", ELSEWHERE)
def test_other_codes_are_tested_where_the_table_says(code: str) -> None:
    _, file = ELSEWHERE[code]
    assert code in (Path(__file__).parent / file).read_text(encoding="utf-8")
