"""Every leaf of a plan is lowered or ignored with a reason, on every backend and for every kind that it trains."""

import ast
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.lower.emit import unemitted_fields
from ftspec.lower.lower import render_files
from ftspec.passes.features import intended_features, machine_features
from ftspec.passes.judge_fidelity import fidelity_on
from ftspec.paths import shared_folder
from ftspec.plan.facts import Scalar
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.plan.llm_data import LlmSource
from ftspec.plan.model import Fidelity, Plan
from ftspec.target.features import Support
from ftspec.target.load import load_targets
from ftspec.target.model import Target, dangling_fields, unlowered_fields
from tests.embedding_plan import complete_plan, rich_plan
from tests.llm_plan import FULL, make_llm_plan

TARGETS, _FOUND = load_targets((shared_folder("backends"),))


def rich_llm_plan() -> LlmPlan:
    """Everything that may be null is set, but for what only another kind of source has."""
    plan = make_llm_plan()
    synthesize: FrozenMap[Scalar] = FrozenMap({"model": "writer", "per_document": 2})
    raft = replace(plan.data.train[0], raft=_with_synthesis(plan.data.train[0], synthesize))
    chat = LlmSource(
        type="chat", path="rows.jsonl", format="jsonl", roles=FrozenMap({"messages": "messages"})
    )
    return make_llm_plan(
        data={"train": (raft, chat), "evaluation": (chat,)},
        model={"quantization_bits": 4, "revision": "main"},
        adapter=AdapterPlan(
            type="qlora", r=8, alpha=16, dropout=0.1, target_modules=("q_proj", "v_proj"), layers=1
        ),
        train={
            "packing": True,
            "lr_scheduler_type": "cosine_with_restarts",
            "lr_num_cycles": 2,
            "eval_steps": 5,
            "num_train_epochs": None,
        },
        export={"path": "models/tuned"},
        execution={"device": "cuda", "precision": "bf16", "gradient_checkpointing": True},
    )


def _with_synthesis(source: LlmSource, settings: FrozenMap[Scalar]) -> object:
    assert source.raft is not None
    return replace(source.raft, questions=None, synthesize=settings)


def full_llm_plan() -> LlmPlan:
    return make_llm_plan(adapter=FULL)


PLANS: dict[str, tuple[Callable[[], Plan], ...]] = {
    "Embedding": (complete_plan, rich_plan),
    "LLM": (make_llm_plan, rich_llm_plan, full_llm_plan),
}
CASES = [
    pytest.param(target, make, id=f"{target.name}-{make.__name__}")
    for target in TARGETS
    for kind in target.kinds
    for make in PLANS[kind]
]

# Leaves under these that a backend may leave aside: they are spent before it, or decide nothing in it.
HANDED = ("model.", "adapter.", "train.", "export.", "execution.")
SPENT = {
    "model.base",
    "model.revision",
    "train.num_train_epochs",
    "train.too_long",
    "export.path",
    "execution.backend",
    "execution.memory_limit_bytes",
}
LEFT_ASIDE = {
    "axolotl": {
        "model.trainable_parameters",  # a count of the plan's
        "execution.score_batch_size",  # it scores nothing
    },
    "mlx": {"execution.attn_implementation"},  # one kernel, the same numbers
    "unsloth": {"train.packing"},  # the feature is refused
}


def test_all_backends_are_read() -> None:
    assert not _FOUND.has_errors, [*_FOUND]
    assert {target.name for target in TARGETS} == {"accelerate", "axolotl", "mlx", "trl", "unsloth"}


def on(plan: Plan, target: Target) -> Plan:
    return replace(plan, execution=replace(plan.execution, backend=target.name))


@pytest.mark.parametrize(("target", "make"), CASES)
def test_every_leaf_is_lowered_or_ignored_with_a_reason(target: Target, make: Callable[[], Plan]) -> None:
    plan = make()
    assert unlowered_fields(target, [path for path, _ in leaves(plan)]) == []
    assert unemitted_fields(plan, target) == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_entry_is_left_over(target: Target) -> None:
    paths = {path for kind in target.kinds for make in PLANS[kind] for path, _ in leaves(make())}
    # `data.evaluation` is a leaf where no source is given, `data.evaluation.*` where one is.
    assert [
        entry for entry in dangling_fields(target, paths) if not entry.startswith("data.evaluation")
    ] == []


@pytest.mark.parametrize(("target", "make"), CASES)
def test_what_a_backend_is_handed_has_a_fidelity(target: Target, make: Callable[[], Plan]) -> None:
    plan = on(make(), target)
    told = {row.field: row for row in fidelity_on(target, plan, "cuda")}
    handed = {path for path, _ in leaves(plan) if path.startswith(HANDED)}
    assert handed - told.keys() <= SPENT | LEFT_ASIDE.get(target.name, set())
    assert not [field for field in told if field.startswith(("data.", "gates."))]
    for row in told.values():
        assert (row.support is Fidelity.EXACT) == (not row.difference), row


@pytest.mark.parametrize(("target", "make"), CASES)
def test_features_and_fields_tell_the_same(target: Target, make: Callable[[], Plan]) -> None:
    """A field whose feature is only approximated is not called exact."""
    plan = on(make(), target)
    for device in target.devices:
        told = {row.field: row.support for row in fidelity_on(target, plan, device)}
        for need in (*intended_features(plan), *machine_features(plan)):
            if target.support_of(need.feature, device).support is Support.APPROXIMATED:
                assert told.get(need.field) is not Fidelity.EXACT, (device, need)


@pytest.mark.parametrize(("target", "make"), CASES)
def test_lowered_text_parses(target: Target, make: Callable[[], Plan], tmp_path: Path) -> None:
    files = render_files(on(make(), target), target)
    for name, text in files.items():
        if name.endswith(".py"):
            ast.parse(text, name)
            assert "ftspec." not in text, name
    assert json.loads(files["config.json"])["kind"] == make().kind if "LLM" in target.kinds else True
    script = tmp_path / "launch.sh"
    script.write_text(files["launch.sh"], encoding="utf-8")
    bash = shutil.which("bash")
    if bash is not None:
        subprocess.run([bash, "-n", script], check=True)
