"""Which files of a project are specs: also those that say so in a way that nothing here reads."""

from pathlib import Path

import pytest

from ftspec.driver.plan_all import Wish, plan_all
from ftspec.driver.specs import KINDS, is_spec_file, project_specs
from ftspec.plan.planset import SpecState
from ftspec.spec.kinds import SPECS
from ftspec.store.project import Project

SPEC = "apiVersion: ftspec/v1\nkind: Embedding\nmetadata: {name: one}\nmodel: {base: org/base}\ndata:\n  train: []\n"


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("ftspec/v1", "ftspec/v2"),
        ("ftspec/v1", '"ftspec/v1alpha1" # later'),
        ("ftspec/v1", "ftspec"),
        ("ftspec/v1", "ftpsec/v1"),
        ("apiVersion", "apiversion"),
        ("apiVersion", '"APIVERSION"'),
        ("apiVersion: ftspec/v1", "apiVersion:"),
        ("apiVersion: ftspec/v1", "apiVersion:\n  ftspec/v1"),
        ("apiVersion: ftspec/v1\n", ""),
        ("kind: Embedding\n", ""),
        ("kind: Embedding", "kind: Bedding"),
        ("kind: Embedding", "kind: [unclosed"),
        ("name: one", "name: a\tb\x00c"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_spec_with_a_fault_is_one(tmp_path: Path, written: str, instead: str, encoding: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_bytes(SPEC.replace(written, instead).encode(encoding))
    assert project_specs(tmp_path) == (path,)
    plans, _ = plan_all(Wish(project=Project(tmp_path)))
    assert plans is not None
    assert [(each.path, each.state) for each in plans.specs] == [(str(path), SpecState.FAILED)]


@pytest.mark.parametrize(
    "text",
    [
        SPEC.replace("\n", "\n  ").replace("api", "  api", 1),
        '{"apiVersion": "ftspec/v1", "kind": "Embedding"}',
        '{"apiVersion": "ftspec/v1", "kind": ',
        f"# a spec\n---\n{SPEC}",
        SPEC.replace("\n", "\r\n"),
        SPEC + "# \xfc" * 200_000,  # too long to be one that works
    ],
)
def test_however_it_is_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_bytes(text.encode("latin-1"))
    assert project_specs(tmp_path) == (path,)


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n",
        "apiVersion: ai.example.com/v1\nkind: LLM\nmetadata: {name: a}\nspec: {model: b}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  spec.yaml: |\n    "
        + SPEC.replace("\n", "\n    "),
        "# apiVersion: ftspec/v1\nname: ci\njobs:\n  a: {uses: ./actions/ftspec}\n",
        "kind: Embedding\nmodel: {base: org/base}\n",  # what others may extend
        "a: [unclosed\n",
        "",
    ],
)
def test_files_of_other_tools_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.yaml").write_text(text)
    assert project_specs(tmp_path) == ()


def test_a_part_that_names_a_kind_is_no_spec_where_it_is_extended(tmp_path: Path) -> None:
    part, child = tmp_path / "part.yaml", tmp_path / "child.yaml"
    part.write_text(SPEC.replace("apiVersion: ftspec/v1\n", ""))
    child.write_text("extends: part.yaml\napiVersion: ftspec/v1\n")
    assert project_specs(tmp_path) == (child,)
    assert is_spec_file(part)
    assert not is_spec_file(part, is_extended=True)


def test_all_kinds_are_known() -> None:
    assert set(KINDS) == set(SPECS)
