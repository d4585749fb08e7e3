import os
from pathlib import Path

import pytest

from ftspec.diagnostics.codes import NOT_EXTENDED
from ftspec.paths import shared_folder
from ftspec.target.features import Feature, features_of
from ftspec.target.load import backend_folders, helper_file, load_targets

GOOD = """\
name: demo
description: A backend.
kinds: [Embedding]
devices: [cpu]
packages:
  torch: ">=2.8"
install: pip install demo
features:
  contrastive: full
  packing: {support: impossible, why: no such thing}
fields:
  train.learning_rate: {native: Arguments.learning_rate}
programs: [main.py]
"""


def write_backend(folder: Path, text: str = GOOD, name: str = "demo") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "target.yaml").write_text(text)
    (folder / name / "main.py").write_text("")
    return folder


def test_found_by_folder(tmp_path: Path) -> None:
    folder = write_backend(tmp_path)
    (tmp_path / "common").mkdir()
    (demo,), found = load_targets([folder])
    assert not len(found)
    assert (demo.name, demo.folder) == ("demo", tmp_path / "demo")
    assert demo.supports(Feature.CONTRASTIVE)


def test_folders_of_the_user_come_after_the_shipped(tmp_path: Path) -> None:
    environ = {"FTSPEC_BACKEND_PATH": f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}"}
    assert backend_folders({}) == (shared_folder("backends"),)
    assert backend_folders(environ) == (shared_folder("backends"), tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("old", "new", "line", "detail", "help_"),
    [
        (
            "  contrastive: full",
            "  contrastve: full",
            9,
            "`features.contrastve`: is not a feature",
            "`contrastive`",
        ),
        ("{support: impossible, why: no such thing}", "impossible", 10, "`why` is required", ""),
        ("devices: [cpu]", "device: [cpu]", 4, "`device`: is not a key here", "`devices`"),
        ('">=2.8"', "newish", 6, "`newish` is not a version specifier", ""),
        ("{native: Arguments.learning_rate}", "{naive: x}", 12, "is not a key here", "`native`"),
        ("[main.py]", "[mian.py]", 13, "the file `mian.py` is missing", ""),
        ("name: demo", "name: other", 1, "lies in a folder named `demo`", ""),
    ],
)
def test_faults_have_a_place(tmp_path: Path, old: str, new: str, line: int, detail: str, help_: str) -> None:
    assert old in GOOD
    targets, found = load_targets([write_backend(tmp_path, GOOD.replace(old, new))])
    assert targets == ()
    fault = next(item for item in found if detail in item.detail)
    assert fault.code.id == "FTS501"
    assert help_ in fault.help
    assert fault.primary is not None
    assert line - 1 <= fault.primary.line <= line  # a mapping is underlined at its key
    assert fault.primary.path.endswith("target.yaml")


def test_one_bad_backend_spoils_no_other(tmp_path: Path) -> None:
    write_backend(tmp_path, GOOD.replace("full", "fully"), name="bad")
    targets, found = load_targets([write_backend(tmp_path)])
    assert [target.name for target in targets] == ["demo"]
    assert found.has_errors


def test_same_name_twice(tmp_path: Path) -> None:
    folders = [write_backend(tmp_path / "a"), write_backend(tmp_path / "b")]
    (demo,), found = load_targets(folders)
    assert demo.folder.parent == tmp_path / "a"
    assert "also the name" in next(iter(found)).detail


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    targets, found = load_targets([tmp_path / "none"])
    assert targets == ()
    assert found.has_errors


def test_helpers_lie_in_common(tmp_path: Path) -> None:
    (demo,), _ = load_targets([write_backend(tmp_path)])
    assert helper_file(demo, "x.py") == shared_folder("backends") / "common" / "x.py"
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "x.py").write_text("")
    assert helper_file(demo, "x.py") == tmp_path / "common" / "x.py"


def test_shipped_backends_are_well_described() -> None:
    targets, found = load_targets([shared_folder("backends")])
    if not any(shared_folder("backends").glob("*/target.yaml")):
        pytest.skip("no backend yet")
    assert not list(found)
    for target in targets:
        missing = features_of(target.kinds) - set(target.features)
        assert not missing, f"{target.name} says nothing of {sorted(missing)}"


def test_remembered_by_content(tmp_path: Path) -> None:
    folder, cache = write_backend(tmp_path / "backends"), tmp_path / "cache"
    first, _ = load_targets([folder], cache=cache)
    (entry,) = (cache / "targets").iterdir()
    assert load_targets([folder], cache=cache)[0] == first
    entry.write_text("[1")
    assert load_targets([folder], cache=cache)[0] == first
    entry.write_text('{"name": "other"}')
    assert load_targets([folder], cache=cache)[0] == first

    (folder / "demo" / "main.py").unlink()
    targets, found = load_targets([folder], cache=cache)
    assert (targets, next(iter(found)).primary is not None) == ((), True)
    (folder / "demo" / "main.py").write_text("")
    (folder / "demo" / "target.yaml").write_text(GOOD.replace("A backend.", "Another one."))
    (changed,), _ = load_targets([folder], cache=cache)
    assert changed.description == "Another one."


def test_what_has_faults_or_extends_is_not_remembered(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_targets([write_backend(tmp_path / "a", GOOD.replace("full", "fully"))], cache=cache)
    (tmp_path / "base.yaml").write_text("install: pip install demo\n")
    extending = GOOD.replace("install: pip install demo", "extends: ../../base.yaml")
    (demo,), _ = load_targets([write_backend(tmp_path / "b", extending)], cache=cache)
    assert demo.install == "pip install demo"
    assert not (cache / "targets").exists()


def test_extending_promises_the_same_bytes_only_where_it_was_compared() -> None:
    targets, _ = load_targets()
    able = [each for each in targets if each.supports(Feature.EXTEND, "cpu")]
    assert {each.name for each in able} == {"accelerate", "trl"}
    for target in able:
        assert target.support_of(Feature.EXTEND, "cuda").why.startswith("On a CPU it was compared")
    assert "On a CPU the weights are\nthe same" in NOT_EXTENDED.explanation
