"""Plan and backend into a run folder: bytes, quoting, links, and what the programs read of it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.lower.config import Config, build_config
from ftspec.lower.links import is_model_file, link_tree
from ftspec.lower.lower import LowerInputs, lower, render_files
from ftspec.lower.templates import inline_code, one_line, render, variable_name
from ftspec.paths import shared_folder
from ftspec.plan.embedding import Prompts
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Action
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from tests.embedding_plan import NASTY, complete_plan, rich_plan


@pytest.fixture(scope="module")
def target() -> Target:
    targets, found = load_targets((shared_folder("backends"),))
    assert not found.has_errors, list(found)
    return next(item for item in targets if item.name == "accelerate")


@pytest.fixture
def inputs(tmp_path: Path) -> LowerInputs:
    base, split = tmp_path / "model", tmp_path / "split"
    for path, text in (
        (base / "config.json", "{}"),
        (base / "1_Pooling" / "config.json", "{}"),
        (base / "model.safetensors", "weights"),
        (base / "pytorch_model.bin", "pickle"),
        (base / ".cache" / "x", "hidden"),
        (split / "train.jsonl", "{}\n"),
        (split / "test" / "queries.jsonl", "{}\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LowerInputs(base_model=base, data=split, baseline_model=base)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def programs_on_path() -> Iterator[None]:
    folders = [str(shared_folder("backends") / place) for place in ("accelerate/programs", "common")]
    hidden = sys.modules.pop("settings", None)
    sys.path[:0] = folders
    yield
    for folder in folders:
        sys.path.remove(folder)
    sys.modules.pop("settings", None)
    if hidden is not None:
        sys.modules["settings"] = hidden


def test_exact_versions_where_the_backend_names_them(
    target: Target, inputs: LowerInputs, tmp_path: Path
) -> None:
    lower(rich_plan(), target, inputs, tmp_path / "ranges")
    assert "torch>=" in (tmp_path / "ranges" / "requirements.txt").read_text(encoding="utf-8")
    folder = tmp_path / "demo"
    shutil.copytree(target.folder, folder)
    for name, text in (("pins.txt", "torch==2.13.0\n"), ("last.txt", "odd==1.0\n")):
        (folder / name).write_text(text, encoding="utf-8")
    pinned = target.model_copy(
        update={"folder": folder, "requirements": "pins.txt", "requirements_no_deps": "last.txt"}
    )
    lower(rich_plan(), pinned, inputs, tmp_path / "pins")
    assert (tmp_path / "pins" / "requirements.txt").read_text(encoding="utf-8") == "torch==2.13.0\n"
    assert (tmp_path / "pins" / "requirements-no-deps.txt").read_text(encoding="utf-8") == "odd==1.0\n"


def test_same_plan_same_bytes_and_no_path_of_this_machine(
    target: Target, inputs: LowerInputs, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "elsewhere" / "two"
    for folder in (one, two):
        made, found = lower(rich_plan(), target, inputs, folder)
        assert made == folder
        assert not list(found)
    assert files_of(one) == files_of(two)
    for name in ("config.json", "launch.sh", "README.md", "requirements.txt"):
        text = (one / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text
        assert str(Path.home()) not in text
    assert files_of(one).keys() >= {
        "main.py",
        "train.py",
        "events.py",
        "base/model.safetensors",
        "data/train.jsonl",
    }
    assert not {"base/pytorch_model.bin", "base/.cache/x"} & files_of(one).keys()
    assert (one / "baseline" / "config.json").exists()
    assert os.access(one / "launch.sh", os.X_OK)


def test_render_files_is_what_lower_writes(target: Target, inputs: LowerInputs, tmp_path: Path) -> None:
    plan = complete_plan()
    lower(plan, target, inputs, tmp_path / "run")
    written = files_of(tmp_path / "run")
    assert {name: written[name].decode() for name in render_files(plan, target)} == render_files(plan, target)


@pytest.mark.usefixtures("programs_on_path")
@pytest.mark.parametrize("make", [complete_plan, rich_plan])
def test_the_programs_read_the_config(target: Target, tmp_path: Path, make: Any) -> None:
    import settings

    plan = make()
    path = tmp_path / "config.json"
    path.write_text(render_files(plan, target)["config.json"], encoding="utf-8")
    read = settings.read_settings(path)
    assert read.model.prompts.query == plan.model.prompts.query
    assert [stage.name for stage in read.stages] == ["encode_base", "train", "encode_tuned"]
    assert read.arguments["max_steps"] == plan.train.total_steps
    assert read.arguments["dataloader_drop_last"] is True
    assert (read.validation is None) == (plan.train.eval_steps is None)
    if read.validation is not None:
        assert read.validation.metric == "loss"


@pytest.mark.usefixtures("programs_on_path")
def test_both_sides_describe_the_same_layout() -> None:
    import dataclasses
    import types
    import typing

    import settings

    def compare(ours: Any, theirs: Any, place: str) -> None:
        mine, other = typing.get_type_hints(ours), typing.get_type_hints(theirs)
        assert mine.keys() == other.keys(), place
        for key, hint in mine.items():
            inner = other[key]
            for one, two in zip(parts(hint), parts(inner), strict=True):
                if dataclasses.is_dataclass(two):
                    compare(one, two, f"{place}.{key}")

    def parts(hint: Any) -> list[Any]:
        if isinstance(hint, types.UnionType):
            return [item for item in typing.get_args(hint) if item is not type(None)]
        if typing.get_origin(hint) in (list, tuple):
            return [typing.get_args(hint)[0]]
        return [hint]

    compare(Config, settings.Settings, "config")


def test_a_field_that_the_backend_does_not_know_is_refused(
    target: Target, inputs: LowerInputs, tmp_path: Path
) -> None:
    less = target.model_copy(update={"fields": {k: v for k, v in target.fields.items() if k != "train.seed"}})
    made, found = lower(complete_plan(), less, inputs, tmp_path / "run")
    assert made is None
    assert [(item.code.id, item.detail) for item in found] == [
        ("FTS502", "accelerate does not say what becomes of `train.seed`")
    ]
    assert not (tmp_path / "run").exists()


def test_nasty_text_survives(target: Target, inputs: LowerInputs, tmp_path: Path) -> None:
    plan = complete_plan(description=NASTY)
    plan = complete_plan(
        description=NASTY,
        model=replace(plan.model, base=NASTY, prompts=Prompts(query=NASTY)),
        execution=replace(plan.execution, environment=FrozenMap({"NASTY": NASTY})),
    )
    folder = tmp_path / "it's $(a) run"
    lower(plan, target, inputs, folder)
    assert (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))["model"]["prompts"]["query"] == NASTY
    )
    assert subprocess.run(["bash", "-n", folder / "launch.sh"], check=False).returncode == 0
    (folder / "main.py").write_text(
        "import os, sys\nprint(os.environ['NASTY'], sys.argv[1:], os.getcwd(), sep='|', end='')\n"
    )
    done = subprocess.run(
        ["bash", folder / "launch.sh", "--stages", "a b"],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.decode() == f"{NASTY}|['--stages', 'a b']|{folder}"
    assert not list(tmp_path.rglob("pwned"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "{{ 7 * 7 }}" in readme
    assert "\n# next" not in readme


def test_programs_and_scripts_parse(target: Target) -> None:
    for name, text in render_files(complete_plan(), target).items():
        if name.endswith(".py"):
            ast.parse(text)
            assert "ftspec." not in text


def test_lowering_again_keeps_the_output(target: Target, inputs: LowerInputs, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    lower(complete_plan(), target, inputs, folder)
    (folder / "events.jsonl").write_text("{}\n")
    checkpoint = folder / "out" / "train.partial" / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (inputs.base_model / "config.json").unlink()
    lower(complete_plan(), target, inputs, folder)
    assert checkpoint.is_dir()
    assert (folder / "events.jsonl").read_text() == "{}\n"
    assert not (folder / "base" / "config.json").exists()


def test_reused_stages(target: Target, inputs: LowerInputs, tmp_path: Path) -> None:
    plan = complete_plan()
    stages = tuple(
        replace(stage, action=Action.REUSE) if stage.name in ("encode_base", "train") else stage
        for stage in plan.stages
    )
    plan = replace(plan, stages=stages)
    assert [stage["name"] for stage in build_config(plan)["stages"]] == ["encode_tuned"]
    stored = tmp_path / "stored"
    (stored / "model").mkdir(parents=True)
    (stored / "model" / "config.json").write_text("{}")
    (stored / "DONE.json").write_text('{"key": "old"}')
    folder = tmp_path / "run"
    lower(plan, target, replace(inputs, reused={"train": stored}), folder)
    config = json.loads((folder / "config.json").read_text())
    assert [stage["name"] for stage in config["stages"]] == ["train", "encode_tuned"]
    done = json.loads((folder / "out" / "train" / "DONE.json").read_text())
    assert done["key"] == config["stages"][0]["key"]
    assert (folder / "out" / "train" / "model" / "config.json").samefile(stored / "model" / "config.json")
    assert json.loads((stored / "DONE.json").read_text()) == {"key": "old"}


def test_links_follow_the_hub_cache_and_fall_back_to_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, snapshot = tmp_path / "blobs" / "abc", tmp_path / "snapshot"
    blob.parent.mkdir()
    snapshot.mkdir()
    blob.write_text("weights")
    (snapshot / "model.safetensors").symlink_to(blob)
    assert link_tree(snapshot, tmp_path / "linked", is_model_file) == 1
    assert (tmp_path / "linked" / "model.safetensors").samefile(blob)
    assert not (tmp_path / "linked" / "model.safetensors").is_symlink()

    def no_link(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", no_link)
    link_tree(snapshot, tmp_path / "linked", is_model_file)
    assert (tmp_path / "linked" / "model.safetensors").read_text() == "weights"
    assert not (tmp_path / "linked" / "model.safetensors").samefile(blob)


def test_serializers(tmp_path: Path) -> None:
    assert inline_code("a`b``c") == "```a`b``c```"
    assert inline_code("`x`") == "`` `x` ``"
    assert one_line("a\n\x1b[31m b") == "a [31m b"
    with pytest.raises(AssertionError):
        variable_name("A=1; rm -rf /")
    template = tmp_path / "t.j2"
    template.write_text("{{ missing }}")
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render(template, {})


def test_lowering_imports_no_trainer() -> None:
    code = "import sys, ftspec.lower.lower; print({'torch', 'transformers', 'jinja2', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"
