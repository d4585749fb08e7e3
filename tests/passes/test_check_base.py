"""Bases that a backend's library does not read are refused in the plan; where another backend can, it is taken."""

from dataclasses import replace
from typing import Any

import pytest

from ftspec.passes.check_base import why_not_read
from ftspec.plan.llm import LlmPlan
from ftspec.target.features import Device
from ftspec.target.load import load_targets
from ftspec.target.model import BaseModels, Target
from tests.passes.test_llm_passes import first, refused, rejected, settled, target
from tests.resolve.make import gpu, hardware

MACHINE = hardware(gpu(memory_gib=40))
OPEN = target("open")


def picky(package: str = "no-such-package", **changes: Any) -> Target:
    models = {"package": package, "version": "1.0", "types": ("llama", "qwen2"), **changes}
    return target("picky", prefers=(Device.CUDA,), models=BaseModels(**models))


def plan_of(**facts: Any) -> LlmPlan:
    plan = first()
    return replace(plan, model=replace(plan.model, facts=replace(plan.model.facts, **facts)))


@pytest.mark.parametrize(
    ("facts", "models", "words"),
    [
        ({"model_type": "qwen9"}, {}, "no-such-package 1.0 has no `qwen9`"),
        (
            {"model_type": "llama"},
            {"otherwise": {"llama": "turns it upside down"}},
            "1.0 turns it upside down",
        ),
        ({"rope_type": "longrope"}, {"rope_types": ("default",)}, "`longrope` rotary positions"),
        (
            {"rope_by_layer": True},
            {"rope_by_layer": ("gemma3_text",)},
            "its layers differ in rotary positions",
        ),
        ({"sliding_window": 1024}, {"sliding_window": ("gemma3_text",)}, "beyond its sliding window of 1024"),
    ],
)
def test_what_a_library_does_not_read(facts: dict[str, Any], models: dict[str, Any], words: str) -> None:
    plan, narrow = plan_of(**facts), picky(**models)
    item = refused(plan, MACHINE, narrow)["FTS409"]
    assert words in item.detail
    assert "`open`" not in item.help
    assert why_not_read(narrow, plan_of()) == ""
    assert settled(plan_of(), MACHINE, narrow, OPEN).execution.backend == "picky"
    other = settled(plan, MACHINE, narrow, OPEN)
    assert other.execution.backend == "open"
    assert words in rejected(other)["picky"]
    asked = replace(plan, execution=replace(plan.execution, backend="picky"))
    given = replace(first(given=("execution.backend",)), model=plan.model, execution=asked.execution)
    assert refused(given, MACHINE, narrow, OPEN)["FTS409"].help == "write `open` for `resources.backend`"


def test_what_a_library_reads_as_well() -> None:
    assert why_not_read(picky(rope_types=("default",)), plan_of(rope_type="")) == ""
    assert why_not_read(picky(sliding_window=()), plan_of(sliding_window=10**6)) == ""
    knows = picky(types=("gemma3_text",), sliding_window=("gemma3_text",), rope_by_layer=("gemma3_text",))
    gemma = plan_of(model_type="gemma3_text", sliding_window=8, rope_by_layer=True)
    assert why_not_read(knows, gemma) == ""
    assert why_not_read(picky(), plan_of(model_type="own", needs_remote_code=True)) == ""


def test_a_newer_library_on_this_machine_changes_no_plan() -> None:
    newer = picky("pytest").model_copy(update={"packages": {"pytest": ">=1"}})
    assert "pytest 1.0 has no `qwen9`" in why_not_read(newer, plan_of(model_type="qwen9"))


def test_a_like_name_is_offered() -> None:
    item = refused(plan_of(model_type="qwen22"), MACHINE, picky())["FTS409"]
    assert item.help == "name another base; a known type of a like name is `qwen2`"


def models_of(name: str) -> BaseModels:
    models = next(each for each in load_targets()[0] if each.name == name).models
    assert models is not None
    return models


def test_types_of_trl_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    models = models_of("trl")
    if transformers.__version__ != models.version:
        pytest.skip(f"the list is of transformers {models.version}")
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert set(models.types) == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_types_of_mlx_are_those_of_mlx_lm() -> None:
    pytest.importorskip("mlx_lm")
    from importlib.metadata import version
    from pathlib import Path

    import mlx_lm.models
    from mlx_lm.utils import MODEL_REMAPPING

    models = models_of("mlx")
    if version("mlx-lm") != models.version:
        pytest.skip(f"the list is of mlx-lm {models.version}")
    files = list(Path(mlx_lm.models.__path__[0]).glob("*.py"))
    known = {
        file.stem
        for file in files
        if all(f"\nclass {name}(" in file.read_text(encoding="utf-8") for name in ("Model", "ModelArgs"))
    }
    assert models.otherwise.keys() <= set(models.types)
    assert set(models.types) == known | {name for name, file in MODEL_REMAPPING.items() if file in known}
